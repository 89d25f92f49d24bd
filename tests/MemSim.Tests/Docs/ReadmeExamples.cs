namespace MemSim.Tests.Docs;

/// <summary>The examples of README.md, which run here as they stand there.</summary>
internal static class ReadmeExamples
{
    public static void CopyOnWrite(TextWriter console)
    {
        // <example copy-on-write>
        using var machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        Process parent = machine.CreateProcess("parent");
        using (cpu.Run(parent))
        {
            VirtualAddress data = parent.Mm.Mmap(4096, Prot.Read | Prot.Write);
            cpu.Write(data, 42);                                // page fault: a zeroed page
            Process child = parent.Fork();                      // both map it now, neither may write
            FaultStory story = new();
            machine.Tracing.RecordFaults(story);
            cpu.Write(data, 43);                                // page fault: copied
            console.Write(story);                               // ... page 0x29ff is shared (mapped 2 times, 3 references): copied to 0x29fe
            using (cpu.Run(child))
            {
                console.WriteLine(cpu.Read<int>(data));         // 42
            }
        }

        // </example>
    }

    public static void Order4(TextWriter console)
    {
        // <example order-4>
        using var machine = Machine.Boot(MachineSpec.X86_64("256M"));
        Cpu cpu = machine.Cpus[0];
        MovablePool pool = machine.Migration.CreateMovablePool();         // pages that may be moved, as those of processes
        while (pool.Allocate(cpu, Gfp.HighUser | Gfp.Movable | Gfp.NoWarn) >= 0)
        {
        }

        for (int i = pool.Count - 1; i >= 0; i--)
        {
            if (pool[i].Pfn.Value % 2 == 0)
            {
                pool.Free(cpu, i);                              // every other page: half of memory is free
            }
        }

        while (!cpu.AllocPages(Gfp.Atomic | Gfp.NoWarn, order: 4).IsNull)
        {
            // A driver takes what is left of larger blocks.
        }

        console.Write(machine.Explain(Gfp.Atomic, order: 4));   // why it fails, zone by zone, and what would have saved it
        machine.Sysctl.Set("vm.compact_memory", "1");
        console.WriteLine(cpu.AllocPages(Gfp.Atomic, order: 4).IsNull);    // False
        // </example>
    }

    public static void Hog(TextWriter console)
    {
        // <example hog>
        using var machine = Machine.Boot(MachineSpec.X86_64("128M").WithSysctl("vm.overcommit_memory", "1"));
        using BlockDevice disk = new("vdb", "64M");
        SwapArea swap = machine.Swap.SwapOn(disk);
        Cpu cpu = machine.Cpus[0];
        Process hog = machine.CreateProcess("hog");
        using (cpu.Run(hog))
        {
            VirtualAddress memory = hog.Mm.Mmap(1 << 30, Prot.Read | Prot.Write);
            for (ulong at = 0; at < 1 << 30 && cpu.User.PutUser(new VirtualAddress(memory.Value + at), at) == Errno.None; at += 4096)
            {
            }
        }

        console.Write(machine.Proc.Swaps);                      // empty again: it was the hog's
        console.Write(machine.Oom.LastReport);                   // Mem-Info, zones, task table, "Out of memory: Killed process ..."
        // </example>
    }
}
