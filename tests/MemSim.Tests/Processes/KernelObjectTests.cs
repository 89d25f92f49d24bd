using FluentAssertions;
using MemSim.Slab;
using MemSim.Tests.VirtualMemory;
using Xunit;

namespace MemSim.Tests.Processes;

/// <summary>What processes and files take of the kernel's own memory.</summary>
public class KernelObjectTests
{
    /// <summary>Size, objects in a slab and pages of one as <c>/proc/slabinfo</c> of Debian's 6.1 has them with two CPUs: x86-64, arm64, x86-32, PAE.</summary>
    public static TheoryData<string, string, string, string, string> Recorded => new()
    {
        { "radix_tree_node", "584 14 2", "584 14 2", "304 13 1", "304 13 1" },
        { "maple_node", "256 16 1", "256 16 1", "256 16 1", "256 16 1" },
        { "pid", "128 32 1", "128 32 1", "64 64 1", "64 64 1" },
        { "anon_vma", "104 39 1", "104 39 1", "56 73 1", "56 73 1" },
        { "anon_vma_chain", "64 64 1", "64 64 1", "32 128 1", "32 128 1" },
        { "cred_jar", "192 21 1", "192 21 1", "128 32 1", "128 32 1" },
        { "task_struct", "8448 3 8", "4160 7 8", "2944 11 8", "5248 6 8" },
        { "sighand_cache", "2112 15 8", "2112 15 8", "1312 12 4", "1344 12 4" },
        { "signal_cache", "1152 14 4", "1152 14 4", "736 22 4", "768 21 4" },
        { "files_cache", "704 23 4", "704 23 4", "256 16 1", "256 16 1" },
        { "mm_struct", "1152 14 4", "960 17 4", "576 14 2", "576 14 2" },
        { "vm_area_struct", "152 26 1", "152 26 1", "72 56 1", "80 51 1" },
        { "dentry", "192 21 1", "192 21 1", "128 32 1", "128 32 1" },
        { "filp", "256 16 1", "256 16 1", "160 25 1", "192 21 1" },
        { "bdev_cache", "1600 20 8", "1600 20 8", "992 16 4", "1024 16 4" },
        { "shmem_inode_cache", "784 20 4", "784 20 4", "488 16 2", "488 16 2" },
    };

    [Theory]
    [MemberData(nameof(Recorded))]
    public void Caches_are_the_recorded_kernels(string name, string x64, string arm64, string x86, string pae)
    {
        foreach ((string architecture, string expected) in ((string, string)[])[("x86_64", x64), ("arm64", arm64), ("x86_32", x86), ("pae", pae)])
        {
            using Machine machine = ForkTests.Boot(architecture);
            _ = machine.Slab.KernelObjects.CacheOf(KernelObject.Task);
            string line = Line(machine, name);
            string.Join(' ', line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[3..6]).Should().Be(expected, "{0} has so large objects on {1}", name, architecture);
        }
    }

    [Theory]
    [MemberData(nameof(ForkTests.Architectures), MemberType = typeof(ForkTests))]
    public void Slabinfo_counts_what_processes_and_files_consist_of(string architecture)
    {
        using Machine machine = ForkTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        using BlockDevice disk = new("sda", "1M");
        DiskFileSystem files = machine.Files.Mount(disk);
        Process parent = machine.CreateProcess("parent");
        Process child;
        using (cpu.Run(parent))
        {
            VirtualAddress at = parent.Mm.Mmap(8 << 12, Prot.Read | Prot.Write);
            cpu.Write(at, 1);
            child = parent.Fork();
        }

        OpenFile file = files.Create("file").Value;
        OpenFile again = files.Open("file").Value;
        OpenFile device = machine.Files.OpenDevice(disk).Value;
        OpenFile memory = machine.Files.MountTmpfs().Create("memory").Value;
        machine.Verify();
        (string Name, int Count)[] expected =
        [
            ("task_struct", 2), ("mm_struct", 2), ("sighand_cache", 2), ("signal_cache", 2), ("files_cache", 2), ("cred_jar", 2),
            ("vm_area_struct", 4), ("anon_vma", 2), ("maple_node", 2),
            ("filp", 4), ("dentry", 3), ("bdev_cache", 1), ("ext4_inode_cache", 1), ("shmem_inode_cache", 1),
        ];
        Counts(machine, expected).Should().Equal(expected);
        machine.Nodes[0].Counters.KernelStackKiB.Should().Be(architecture is "x86_64" or "arm64" ? 32 : 16);
        machine.Proc.MemInfo.Should().MatchRegex($"KernelStack: +{(architecture is "x86_64" or "arm64" ? 32 : 16)} kB\n");
        child.Exit();

        // A zombie keeps its number and its task, but neither files nor a stack.
        expected = [("task_struct", 2), ("sighand_cache", 2), ("signal_cache", 2), ("mm_struct", 1), ("files_cache", 1), ("vm_area_struct", 2), ("anon_vma", 1), ("maple_node", 1)];
        Counts(machine, expected).Should().Equal(expected);
        machine.Nodes[0].Counters.KernelStackKiB.Should().Be(architecture is "x86_64" or "arm64" ? 16 : 8);
        parent.Wait().Value.Should().BeSameAs(child);
        parent.Exit();
        foreach (OpenFile open in (OpenFile[])[file, again, device, memory])
        {
            open.Close(cpu);
        }

        files.Delete(cpu, "file").Should().Be(Errno.None);
        machine.Verify();
        expected = [("task_struct", 0), ("sighand_cache", 0), ("signal_cache", 0), ("mm_struct", 0), ("files_cache", 0), ("vm_area_struct", 0), ("anon_vma", 0), ("maple_node", 0), ("filp", 0), ("dentry", 2), ("ext4_inode_cache", 0)];
        Counts(machine, expected).Should().Equal(expected);
        machine.Nodes[0].Counters.KernelStackKiB.Should().Be(0);
    }

    [Fact]
    public void Ten_thousand_areas_grow_their_caches()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        Cpu cpu = machine.Cpus[0];
        machine.CreateProcess("warm").Exit();
        long free = machine.FreePagesAtRest();
        Process process = machine.CreateProcess("mapper");
        using ContextScope scope = cpu.Run(process);
        long slabs = machine.Nodes[0].Counters.SlabUnreclaimable;
        int before = process.Mm.AreaCount;
        VirtualAddress[] areas = new VirtualAddress[10_000];
        for (int i = 0; i < areas.Length; i++)
        {
            // Neighbours with other rights are not merged.
            areas[i] = process.Mm.Mmap(4096, i % 2 == 0 ? Prot.Read : Prot.Read | Prot.Execute);
        }

        process.Mm.AreaCount.Should().Be(before + 10_000);
        Live(machine, "vm_area_struct").Should().Be(before + 10_000);
        Live(machine, "maple_node").Should().Be((before + 10_000 + 7) / 8);

        // 26 areas or 16 nodes to a page: 385 and 79 pages.
        (machine.Nodes[0].Counters.SlabUnreclaimable - slabs).Should().BeInRange(460, 466);
        machine.Verify();
        foreach (VirtualAddress area in areas)
        {
            process.Mm.Munmap(area, 4096).Should().Be(Errno.None);
        }

        Live(machine, "vm_area_struct").Should().Be(before);
        Live(machine, "maple_node").Should().BeLessThan(3);
        machine.Verify();
        process.Exit();
        scope.Dispose();
        machine.FreePagesAtRest().Should().Be(free);
    }

    [Fact]
    public void A_file_without_memory_is_not_made()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        using BlockDevice disk = new("sda", "1M");
        using BlockDevice other = new("sdb", "1M");
        DiskFileSystem files = machine.Files.Mount(disk);

        // The first objects make slabs; then there are three allocations for each file: inode, name, open file.
        files.Create("first").Value.Close(machine.Cpus[0]);
        files.Delete(machine.Cpus[0], "first").Should().Be(Errno.None);
        machine.Files.OpenDevice(other).Value.Close(machine.Cpus[0]);
        for (int nth = 1; nth <= 3; nth++)
        {
            _ = machine.FailOnly(nth);
            files.Create("file").Error.Should().Be(Errno.ENOMEM);
            _ = machine.FailOnly(nth);
            files.Adopt("part", 0, 4096).Error.Should().Be(Errno.ENOMEM);
            _ = machine.FailOnly(nth);
            machine.Files.OpenDevice(disk).Error.Should().Be(Errno.ENOMEM);
            machine.FaultInjection.Clear();
            files.Names.Should().BeEmpty();
            machine.Verify();
        }
    }

    [Fact]
    public void A_task_that_ends_while_it_runs_keeps_its_stack_until_it_leaves_the_cpu()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        Process process = machine.CreateProcess("last words");
        using (machine.Cpus[0].Run(process))
        {
            process.Exit();
            process.Stack.Should().NotBeNull();
            Live(machine, "task_struct").Should().Be(1);
            Live(machine, "mm_struct").Should().Be(0);
            machine.Verify();
        }

        process.Stack.Should().BeNull();
        Live(machine, "task_struct").Should().Be(0);
        machine.Verify();
    }

    [Fact]
    public void An_area_that_is_forgotten_is_found()
    {
        using Machine machine = ForkTests.Boot("x86_64");
        Process process = machine.CreateProcess("leaky");
        VirtualAddress lost = machine.Slab.KernelObjects.Take(machine.Cpus[0], KernelObject.Vma);
        machine.Invoking(m => m.Verify()).Should().Throw<KernelBugException>().WithMessage("*2 objects of the cache vm_area_struct are in use but 1 are held*");
        machine.Slab.KernelObjects.Give(machine.Cpus[0], KernelObject.Vma, lost);
        machine.Verify();
        machine.Cpus[0].Free(machine.Slab.Find("mm_struct")!, process.Mm.Memory);
        machine.Invoking(m => m.Verify()).Should().Throw<KernelBugException>().WithMessage("*no live object of the cache mm_struct*");
    }

    private static (string Name, int Count)[] Counts(Machine machine, (string Name, int Count)[] of) => [.. of.Select(o => (o.Name, Live(machine, o.Name)))];

    private static int Live(Machine machine, string name) => (int)machine.Slab.FindLiveObjects().Where(group => group.Cache.Name == name).Sum(group => group.Count);

    private static string Line(Machine machine, string name) => machine.Slab.SlabInfo.Split('\n').Single(line => line.StartsWith(name + " ", StringComparison.Ordinal));
}
