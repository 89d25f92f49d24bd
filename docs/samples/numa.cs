#:project ../../src/MemSim/MemSim.csproj
using MemSim;

// Two processors, each with memory of its own; the other one's is farther away.
using Machine machine = Machine.Boot(MachineSpec.X86_64("512M", cpus: 2).WithNodes("256M", "256M"));
foreach (Node node in machine.Nodes)
{
    Console.WriteLine($"node {node.Id}: CPU {string.Join(' ', node.Cpus.Select(c => c.Id))}, {node.PresentPages} pages, zones {string.Join(' ', node.Zones.Where(z => z.IsPopulated).Select(z => z.Name))}, distances {string.Join(' ', node.Distances)}, looks at {string.Join(" then ", node.FallbackOrder)}");
}

Cpu first = machine.Cpus[0];
Console.WriteLine($"CPU 0 gets a page of node {first.AllocPage(Gfp.Kernel).Zone.Node.Id}, CPU 1 one of node {machine.Cpus[1].AllocPage(Gfp.Kernel).Zone.Node.Id}");
Console.WriteLine($"alloc_pages_node(1) on CPU 0: node {first.Pages.AllocPagesNode(1, Gfp.Kernel).Zone.Node.Id}");

// A task's policy, as set_mempolicy() sets it: by turns, or only there.
KernelTask task = new("database", 77) { Policy = MemoryPolicy.Interleave([0, 1]) };
using (first.Run(task))
{
    Console.WriteLine($"interleaved: {string.Join(' ', Enumerable.Range(0, 6).Select(_ => first.AllocPage(Gfp.User).Zone.Node.Id))}");
    task.Policy = MemoryPolicy.Bind([1]);
    Console.WriteLine($"bound to 1: {string.Join(' ', Enumerable.Range(0, 4).Select(_ => first.AllocPage(Gfp.User).Zone.Node.Id))}");
}

// The own node is full: the next one answers, unless the request insists.
while (!first.Pages.AllocPagesNode(0, Gfp.Kernel | Gfp.ThisNode | Gfp.NoWarn).IsNull)
{
}

Console.WriteLine($"node 0 is full: GFP_KERNEL gets node {first.AllocPage(Gfp.Kernel).Zone.Node.Id}, with __GFP_THISNODE {(first.Pages.AllocPagesNode(0, Gfp.Kernel | Gfp.ThisNode | Gfp.NoWarn).IsNull ? "NULL" : "a page")}");
Console.Write(machine.Proc.NodeNumaStat(0));
