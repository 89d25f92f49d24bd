#:project ../../src/MemSim/MemSim.csproj
using MemSim;

using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
Cpu cpu = machine.Cpus[0];
Process process = machine.CreateProcess("reader");
using (cpu.Run(process))
{
    VirtualAddress data = process.Mm.Mmap(16 << 10, Prot.Read | Prot.Write);
    cpu.Write(data + 0x234, 42);                    // a fault gives the page; then there is something to walk to
    cpu.Tlb.FlushAll();
    Console.WriteLine(cpu.Mmu.Explain(data + 0x234));

    // The TLB remembers: no walk.
    cpu.Read<int>(data + 0x234);
    TranslationExplanation again = cpu.Mmu.Explain(data + 0x238);
    Console.WriteLine($"now {again.MemoryReads} read, answered by TLB level {again.TlbLevel}");

    // A walk that begins again needs less: the CPU also remembers the upper tables.
    cpu.Write(data + 0x1000, 1);
    cpu.Tlb.FlushAll();
    cpu.Read<int>(data);
    Console.WriteLine($"the page beside one just used: {cpu.Mmu.Explain(data + 0x1000).MemoryReads} reads");
    Console.WriteLine($"page tables of the process: {process.Mm.PageTableBytes / 1024} KiB");
}

// The direct map of the kernel has entries of 2 MiB: one level less.
VirtualAddress direct = cpu.Pages.GetFreePages(Gfp.Kernel);
cpu.Tlb.FlushAll();
TranslationExplanation kernel = cpu.Mmu.Explain(direct);
Console.WriteLine($"direct map: {kernel.MemoryReads} reads, {string.Join(" -> ", kernel.Steps.Select(s => s.Name))}, entry of {kernel.PageSize}");
