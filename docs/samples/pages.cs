#:project ../../src/MemSim/MemSim.csproj
using MemSim;

using Machine machine = Machine.Boot(MachineSpec.X86_64("256M"));
Cpu cpu = machine.Cpus[0];

// The memory map: one struct page for each frame, 64 bytes on x86-64.
Console.WriteLine($"struct pages: {machine.Memory.MapCost.KernelBytes / 1024} KiB for {machine.Nodes[0].PresentPages} frames");

// Three frames: used by nobody, kept by the firmware or kernel image, handed out.
Page free = machine.GetPage(machine.Zones[0].FreeList(machine.Memory.PageblockOrder, MigrateType.Movable).First());
Page kept = machine.GetPage(new Pfn(0x1000));
Page mine = cpu.AllocPage(Gfp.Kernel);
Show("free", free);
Show("kept", kept);
Show("mine", mine);

// A second user takes a reference. The page is free when the last one lets go.
cpu.Pages.GetPage(mine);
Show("shared", mine);
cpu.Pages.PutPage(mine);
cpu.Pages.PutPage(mine);
Show("put twice", mine);

// Four frames that are one thing: a compound page. Every tail knows its head.
Page head = cpu.AllocPages(Gfp.Kernel | Gfp.Comp, order: 2);
Page tail = machine.GetPage(head.Pfn + 3);
Show("head", head);
Show("tail", tail);
Console.WriteLine($"compound_head({tail.Pfn}) = {tail.CompoundHead.Pfn}, order {tail.CompoundHead.CompoundOrder}");
cpu.FreePages(head, order: 2);

void Show(string what, Page page) =>
    Console.WriteLine($"{what,-10} pfn {page.Pfn,-7} at {page.PhysicalAddress}  count {page.Count}  {page.Flags}");
