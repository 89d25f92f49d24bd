#:project ../../src/MemSim/MemSim.csproj
using MemSim;

using Machine machine = Machine.Boot(MachineSpec.X86_64("128M"));
Cpu cpu = machine.Cpus[0];
KernelTask task = new("reader", 42);
KernelStack stack = machine.Stacks.Create(cpu, task)!;
Console.WriteLine($"today's: {stack.Bytes} bytes from {stack.Bottom} to {stack.Top}, pages {string.Join(' ', stack.Pages.Select(p => p.Pfn))}");

// A system call: each function takes a frame, downwards.
using (cpu.Run(task))
using (cpu.Stack!.Call(cpu, 120, "vfs_read"))
using (cpu.Stack!.Call(cpu, 400, "ext4_file_read_iter"))
{
    foreach (StackFrame frame in stack.Frames)
    {
        Console.WriteLine($"  {frame.Start} {frame.Bytes,4} bytes  {frame.Function}");
    }

    Console.WriteLine($"  used {stack.UsedBytes} of {stack.Bytes}");
}

Console.WriteLine($"back: used {stack.UsedBytes}, deepest ever {stack.HighWaterBytes}, never touched {stack.NeverUsedBytes}");
machine.Stacks.Free(cpu, task);

// As in 2.6: two pages of the direct map, thread_info at the bottom, no guard. A large local array is enough.
using Machine old = Machine.Boot(MachineSpec.X86_32("128M").WithStacks(KernelStackOptions.Classic));
KernelTask victim = new("victim", 43);
KernelStack small = old.Stacks.Create(old.Cpus[0], victim)!;
Console.WriteLine($"2.6: {small.Bytes} bytes from {small.Bottom} to {small.Top}, the lowest {small.ThreadInfoBytes} are thread_info");
try
{
    using (old.Cpus[0].Run(victim))
    {
        small.Push(old.Cpus[0], 9000, "parse(char line[8900])");
    }
}
catch (KernelBugException bug)
{
    Console.WriteLine($"{bug.Kind}: {bug.Message.Split('\n')[0]}");
    Console.WriteLine($"the magic word at the end is intact: {small.IsEndIntact}");
}
