namespace MemSim.Tests.Slab;

/// <summary>The example of docs/slab.md; a test compares the two.</summary>
internal static class SlabExample
{
    public static void Run(string implementation, TextWriter output)
    {
        // <example>
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M").WithCommandLine($"slab_allocator={implementation}"));
        Cpu cpu = machine.Cpus[0];
        KmemCache cache = machine.Slab.CreateCache("inode_cache", size: 608, flags: SlabFlags.HwCacheAlign | SlabFlags.ReclaimAccount);

        VirtualAddress[] inodes = new VirtualAddress[30];
        for (int i = 0; i < inodes.Length; i++)
        {
            inodes[i] = cpu.Alloc(cache, Gfp.Kernel);
        }

        output.Write("30 objects are handed out:\n" + machine.Slab.Draw(cache));

        foreach (VirtualAddress inode in inodes[..20])
        {
            cpu.Free(cache, inode);
        }

        output.Write("20 of them are freed:\n" + machine.Slab.Draw(cache));

        long slabs = machine.Slab.ShrinkCache(cache);
        output.Write($"the cache is shrunk to {slabs} slabs:\n" + machine.Slab.Draw(cache));
        machine.Verify();
        // </example>
    }
}
