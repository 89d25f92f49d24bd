using FluentAssertions;
using MemSim.Kernels;
using MemSim.Observability;
using MemSim.Tests.VirtualMemory;
using Xunit;

namespace MemSim.Tests.Observability;

/// <summary>Every allocation inside every kind of call fails once, on every architecture: nothing is lost, the machine is consistent, only documented errors come back.</summary>
public sealed class FaultLoopTests
{
    private const int Page = PageGeometry.PageSize;
    private const Prot ReadWrite = Prot.Read | Prot.Write;

    private static readonly Dictionary<string, (Action<Machine, Cpu> Run, int AtLeast)> Programs = new(StringComparer.Ordinal)
    {
        ["blocks of pages"] = (BlocksOfPages, 6),
        ["kmalloc"] = (Kmalloc, 8),
        ["caches"] = (Caches, 8),
        ["checked caches"] = (CheckedCaches, 5),
        ["mempools"] = (Mempools, 10),
        ["vmalloc"] = (Vmalloc, 20),
        ["per-CPU memory"] = (PerCpu, 3),
        ["kernel stacks"] = (Stacks, 3),
        ["mmap and touch"] = (MmapAndTouch, 20),
        ["fork"] = (Fork, 30),
        ["mremap"] = (Mremap, 15),
        ["mlock and mprotect"] = (MlockAndMprotect, 15),
        ["files"] = (Files, 10),
        ["mapped files"] = (MappedFiles, 15),
        ["tmpfs"] = (Tmpfs, 10),
        ["swap"] = (Swap, 10),
        ["huge pages"] = (HugePages, 12),
        ["hugetlb"] = (Hugetlb, 10),
        ["khugepaged"] = (Collapse, 10),
        ["compaction"] = (Compaction, 10),
        ["contiguous ranges"] = (Contiguous, 0),
        ["snapshots"] = (Snapshots, 1),
    };

    public static TheoryData<string, string> Cases
    {
        get
        {
            TheoryData<string, string> cases = [];
            foreach (string architecture in ForkTests.Architectures.Select(row => row.Data))
            {
                foreach (string program in Programs.Keys)
                {
                    cases.Add(architecture, program);
                }
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Whatever_allocation_fails_nothing_is_lost(string architecture, string program)
    {
        using Machine machine = Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        (Action<Machine, Cpu> run, int atLeast) = Programs[program];

        IReadOnlyList<InjectedFault> faults = machine.FaultInjection.Each(() => run(machine, cpu));

        faults.Should().HaveCountGreaterThanOrEqualTo(atLeast);
        machine.FaultInjection.IsArmed.Should().BeFalse();
    }

    public static TheoryData<string, string> NewestCases
    {
        get
        {
            TheoryData<string, string> cases = [];
            foreach (string program in Programs.Keys)
            {
                cases.Add("x86_64", program);
                cases.Add("arm64", program);
            }

            return cases;
        }
    }

    /// <summary>Sheaves, slabs, areas and tables of a process work otherwise on newer lines, and so do their ways out.</summary>
    [Theory]
    [MemberData(nameof(NewestCases))]
    public void Whatever_allocation_fails_nothing_is_lost_on_the_newest_kernel_either(string architecture, string program)
    {
        using Machine machine = Boot(architecture, KernelLines.Recorded[^1]);
        Cpu cpu = machine.Cpus[0];
        (Action<Machine, Cpu> run, int atLeast) = Programs[program];

        IReadOnlyList<InjectedFault> faults = machine.FaultInjection.Each(() => run(machine, cpu));

        faults.Should().HaveCountGreaterThanOrEqualTo(atLeast / 2);
        machine.FaultInjection.IsArmed.Should().BeFalse();
    }

    [Theory]
    [InlineData("x86_32")]
    [InlineData("pae")]
    public void High_memory_is_mapped_or_not_whatever_fails(string architecture)
    {
        using Machine machine = Machine.Boot(architecture == "pae" ? MachineSpec.X86_32Pae("960M") : MachineSpec.X86_32("960M"));
        Cpu cpu = machine.Cpus[0];

        machine.FaultInjection.Each(() =>
        {
            Page[] pages = [cpu.AllocPages(Gfp.HighUser | Gfp.Zero), cpu.AllocPages(Gfp.HighUser)];
            foreach (Page page in pages.Where(p => !p.IsNull))
            {
                VirtualAddress window = cpu.Kmap(page);
                if (!window.IsNull)
                {
                    cpu.Write(window, 7);
                    cpu.Kunmap(page);
                }

                cpu.FreePages(page);
            }
        }).Should().HaveCountGreaterThanOrEqualTo(2);
    }

    [Fact]
    public void Several_failures_in_a_row_lose_nothing_either()
    {
        foreach (ulong seed in (ulong[])[1, 2, 3])
        {
            using Machine machine = Boot("x86_64");
            Cpu cpu = machine.Cpus[0];
            foreach ((string _, (Action<Machine, Cpu> run, int _)) in Programs)
            {
                AllocationMark mark = machine.Leaks.Mark();
                using (machine.FaultInjection.Arm(FaultRule.AtRandom(15, seed)))
                {
                    run(machine, cpu);
                }

                machine.Verify();
                machine.Leaks.AssertNoLeaks(mark);
            }
        }
    }

    private static Machine Boot(string architecture, KernelPersonality? kernel = null) => Machine.Boot((architecture switch
    {
        "x86_32" => MachineSpec.X86_32("64M", cpus: 2),
        "pae" => MachineSpec.X86_32Pae("64M", cpus: 2),
        "arm64" => MachineSpec.Arm64("64M", cpus: 2),
        _ => MachineSpec.X86_64("96M", cpus: 2),
    }).WithCommandLine("transparent_hugepage=madvise").WithKernel(KernelChoice.Of(kernel ?? KernelLines.Linux6_1)));

    private static void BlocksOfPages(Machine machine, Cpu cpu)
    {
        Page[] bulk = new Page[40];
        int got = cpu.Pages.AllocPagesBulk(Gfp.Kernel, bulk);
        for (int order = 0; order <= 4; order++)
        {
            Page block = cpu.AllocPages(Gfp.Kernel | Gfp.Comp | Gfp.Zero, order);
            cpu.FreePages(block, order);
        }

        VirtualAddress exact = cpu.Pages.AllocPagesExact(5 * Page, Gfp.Kernel);
        cpu.Pages.FreePagesExact(exact, 5 * Page);
        cpu.FreePage(cpu.GetZeroedPage(Gfp.Atomic));
        cpu.Pages.FreePagesBulk(bulk.AsSpan(0, got));
    }

    private static void Kmalloc(Machine machine, Cpu cpu)
    {
        VirtualAddress[] objects = [.. new[] { 8, 100, 700, 5000, 20_000, 300_000 }.Select(size => cpu.Kmalloc(size, Gfp.Kernel))];
        VirtualAddress larger = objects[1].IsNull ? default : cpu.Slab.Krealloc(objects[1], 3000, Gfp.Kernel);
        objects[1] = larger.IsNull ? objects[1] : larger;
        cpu.Slab.Kvfree(cpu.Slab.Kvmalloc(200_000, Gfp.Kernel));
        foreach (VirtualAddress obj in objects)
        {
            cpu.Kfree(obj);
        }
    }

    private static void Caches(Machine machine, Cpu cpu)
    {
        if (!machine.Slab.TryCreateCache("faulty", 600, new KmemCacheArgs(), SlabFlags.HwCacheAlign, out KmemCache? cache))
        {
            machine.Slab.Find("faulty").Should().BeNull();
            return;
        }

        VirtualAddress[] bulk = new VirtualAddress[100];
        if (cpu.Slab.AllocBulk(cache, Gfp.Kernel, bulk) != 0)
        {
            cpu.Slab.FreeBulk(cache, bulk);
        }

        VirtualAddress[] single = [.. Enumerable.Range(0, 20).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        foreach (VirtualAddress obj in single)
        {
            cpu.Free(cache, obj);
        }

        machine.Slab.DestroyCache(cache).Should().BeTrue();
    }

    private static void CheckedCaches(Machine machine, Cpu cpu)
    {
        const SlabFlags checks = SlabFlags.RedZone | SlabFlags.Poison | SlabFlags.StoreUser | SlabFlags.ConsistencyChecks;
        if (!machine.Slab.TryCreateCache("checked", 300, new KmemCacheArgs(), checks, out KmemCache? cache))
        {
            machine.Slab.Find("checked").Should().BeNull();
            return;
        }

        VirtualAddress[] single = [.. Enumerable.Range(0, 30).Select(_ => cpu.Alloc(cache, Gfp.Kernel))];
        foreach (VirtualAddress obj in single)
        {
            cpu.Free(cache, obj);
        }

        machine.Slab.DestroyCache(cache).Should().BeTrue();
    }

    private static void Mempools(Machine machine, Cpu cpu)
    {
        Mempool? pool = machine.Slab.CreateMempool(6, 128);
        Mempool? pages = machine.Slab.CreatePageMempool(3, 1);
        if (pool is not null)
        {
            VirtualAddress element = pool.Alloc(cpu, Gfp.Kernel);
            element.IsNull.Should().BeFalse("that is what the reserve is for");
            _ = pool.Resize(cpu, 12);
            pool.Free(cpu, element);
            pool.Destroy(cpu);
        }

        pages?.Destroy(cpu);
    }

    private static void Vmalloc(Machine machine, Cpu cpu)
    {
        cpu.Vfree(cpu.Vmalloc(10 * Page));
        cpu.Vfree(cpu.Vm.Vzalloc(3 * Page));

        // The table of its pages has an area of its own.
        cpu.Vfree(cpu.Vmalloc(1100L * Page));
        cpu.Vfree(cpu.Vm.VmallocHuge(4 << 20));
        Page[] pages = [cpu.AllocPages(Gfp.Kernel), cpu.AllocPages(Gfp.Kernel)];
        if (!pages[0].IsNull && !pages[1].IsNull)
        {
            cpu.Vm.Vunmap(cpu.Vm.Vmap(pages));
        }

        cpu.FreePages(pages[0]);
        cpu.FreePages(pages[1]);
    }

    private static void PerCpu(Machine machine, Cpu cpu)
    {
        List<PerCpuPointer> areas = [];
        for (int i = 0; i < 6; i++)
        {
            PerCpuPointer area = machine.PerCpu.Alloc(16 << 10, 64);
            if (!area.IsNull)
            {
                areas.Add(area);
            }
        }

        areas.ForEach(machine.PerCpu.Free);
    }

    private static void Stacks(Machine machine, Cpu cpu)
    {
        KernelTask[] tasks = [.. Enumerable.Range(1, 4).Select(i => new KernelTask($"worker/{i}", 100 + i))];
        foreach (KernelTask task in tasks)
        {
            _ = machine.Stacks.Create(cpu, task);
        }

        foreach (KernelTask task in tasks.Where(t => t.Stack is not null))
        {
            machine.Stacks.Free(cpu, task);
        }
    }

    private static void MmapAndTouch(Machine machine, Cpu cpu) => InProcess(machine, cpu, process =>
    {
        if (process.Mm.Mmap(24 * Page, ReadWrite) is { Succeeded: true } area)
        {
            Touch(cpu, area, 24);
            Allowed(process.Mm.Munmap(area.Value + (8 * Page), 4 * Page), Errno.ENOMEM);
            Allowed(process.Mm.Madvise(area, 4 * Page, MemoryAdvice.DontNeed));
            Touch(cpu, area, 8);
        }

        Allowed(process.Mm.Brk(process.Mm.HeapStart + (6 * Page)).Error, Errno.ENOMEM);
    });

    private static void Fork(Machine machine, Cpu cpu) => InProcess(machine, cpu, process =>
    {
        if (process.Mm.Mmap(8 * Page, ReadWrite) is not { Succeeded: true } area)
        {
            return;
        }

        Touch(cpu, area, 8);
        Result<Process> child = process.Fork();
        Allowed(child.Error, Errno.ENOMEM, Errno.EAGAIN);
        Touch(cpu, area, 4);
        if (child.Succeeded)
        {
            using ContextScope scope = cpu.Run(child.Value);
            Touch(cpu, area, 8);
            Allowed(child.Value.Exec("next"), Errno.ENOMEM);
        }
    });

    private static void Mremap(Machine machine, Cpu cpu) => InProcess(machine, cpu, process =>
    {
        if (process.Mm.Mmap(8 * Page, ReadWrite) is not { Succeeded: true } area)
        {
            return;
        }

        Touch(cpu, area, 8);
        Result<VirtualAddress> moved = process.Mm.Mremap(area, 4 * Page, 600 * Page);
        Allowed(moved.Error, Errno.ENOMEM);
        cpu.Read<int>((moved.Succeeded ? moved.Value : area.Value) + Page).Should().Be(2, "contents move with the mapping, or stay");
    });

    private static void MlockAndMprotect(Machine machine, Cpu cpu) => InProcess(machine, cpu, process =>
    {
        if (process.Mm.Mmap(12 * Page, ReadWrite) is not { Succeeded: true } area)
        {
            return;
        }

        Allowed(process.Mm.Mlock(area.Value + (2 * Page), 4 * Page), Errno.ENOMEM, Errno.EAGAIN);
        Allowed(process.Mm.Mprotect(area.Value + (4 * Page), 4 * Page, Prot.Read), Errno.ENOMEM);
        Allowed(process.Mm.Munlock(area.Value + (2 * Page), 4 * Page), Errno.ENOMEM);
        Allowed(process.Mm.MlockAll(LockAll.Current), Errno.ENOMEM, Errno.EAGAIN);
    });

    private static void Files(Machine machine, Cpu cpu)
    {
        BlockDevice disk = new("sda", "4M");
        try
        {
            DiskFileSystem files = machine.Files.Mount(disk);
            ReadWriteTruncate(cpu, files);
        }
        finally
        {
            machine.Files.DropCaches(3);
            disk.Dispose();
        }
    }

    private static void Tmpfs(Machine machine, Cpu cpu) => ReadWriteTruncate(cpu, machine.Files.MountTmpfs("8M"));

    private static void ReadWriteTruncate(Cpu cpu, SimFileSystem files)
    {
        Result<OpenFile> made = files.Create("file");
        Allowed(made.Error, Errno.ENOMEM, Errno.ENOSPC);
        if (!made.Succeeded)
        {
            return;
        }

        OpenFile file = made;
        byte[] data = new byte[20 * Page];
        data.AsSpan().Fill(7);
        Allowed(cpu.Files.Write(file, 0, data).Error, Errno.ENOMEM, Errno.ENOSPC);
        Allowed(cpu.Files.Write(file, 300L * Page, data.AsSpan(0, 100)).Error, Errno.ENOMEM, Errno.ENOSPC);
        Allowed(cpu.Files.Fsync(file), Errno.ENOMEM);
        Allowed(cpu.Files.Read(file, 0, data).Error, Errno.ENOMEM);
        Allowed(cpu.Files.PunchHole(file, 2 * Page, 3 * Page), Errno.ENOMEM);
        Allowed(cpu.Files.Truncate(file, 1000), Errno.ENOMEM);
        file.Close(cpu);
        Allowed(files.Delete(cpu, "file"));
    }

    private static void MappedFiles(Machine machine, Cpu cpu)
    {
        TmpFileSystem files = machine.Files.MountTmpfs("8M");
        Result<OpenFile> made = files.Create("shared");
        if (!made.Succeeded)
        {
            return;
        }

        OpenFile file = made;
        InProcess(machine, cpu, process =>
        {
            if (cpu.Files.Truncate(file, 8 * Page) == Errno.None && process.Mm.Mmap(default, 8 * Page, ReadWrite, MapFlags.Shared, file) is { Succeeded: true } shared)
            {
                Touch(cpu, shared, 8);
            }

            if (process.Mm.Mmap(default, 8 * Page, ReadWrite, MapFlags.Private, file) is { Succeeded: true } own)
            {
                Touch(cpu, own, 4);
            }
        });
        file.Close(cpu);
        Allowed(files.Delete(cpu, "shared"));
    }

    private static void Swap(Machine machine, Cpu cpu)
    {
        BlockDevice disk = new("swap", "4M");
        Result<SwapArea> on = machine.Swap.SwapOn(disk);
        Allowed(on.Error, Errno.ENOMEM);
        if (on.Succeeded)
        {
            InProcess(machine, cpu, process =>
            {
                if (process.Mm.Mmap(32 * Page, ReadWrite) is { Succeeded: true } area)
                {
                    Touch(cpu, area, 32);
                    Allowed(process.Mm.Madvise(area, 32 * Page, MemoryAdvice.PageOut));
                    _ = process.Fork();
                    Touch(cpu, area, 20);
                }
            });
            Allowed(machine.Swap.SwapOff(cpu, on), Errno.ENOMEM);
        }

        machine.FaultInjection.Clear();
        if (on.Succeeded && machine.Swap.Areas.Count != 0)
        {
            Allowed(machine.Swap.SwapOff(cpu, on));
        }

        disk.Dispose();
    }

    private static void HugePages(Machine machine, Cpu cpu) => InProcess(machine, cpu, process =>
    {
        ulong huge = machine.HugePages.PageSize.Bytes;
        if (process.Mm.Mmap((long)(3 * huge), ReadWrite) is not { Succeeded: true } area)
        {
            return;
        }

        Allowed(process.Mm.Madvise(area, (long)(3 * huge), MemoryAdvice.HugePage), Errno.ENOMEM, Errno.EINVAL);
        VirtualAddress aligned = new((area.Value.Value + huge - 1) & ~(huge - 1));
        cpu.Write(aligned, 1);
        cpu.Write(aligned + (long)huge, 2);
        _ = process.Fork();
        cpu.Write(aligned, 3);
        Allowed(process.Mm.Mprotect(aligned + Page, Page, Prot.Read), Errno.ENOMEM);
        Allowed(process.Mm.Munmap(aligned + (4 * Page), 2 * Page), Errno.ENOMEM);
    });

    private static void Hugetlb(Machine machine, Cpu cpu)
    {
        machine.Sysctl.Set("nr_hugepages", "3");
        InProcess(machine, cpu, process =>
        {
            ulong huge = machine.Hugetlb.Pool.PageSize.Bytes;
            Result<VirtualAddress> area = process.Mm.Mmap(default, (long)(2 * huge), ReadWrite, MapFlags.Private | MapFlags.Anonymous | MapFlags.HugeTlb);
            Allowed(area.Error, Errno.ENOMEM);
            if (area.Succeeded)
            {
                cpu.Write(area.Value, 1);
                _ = process.Fork();
                cpu.Write(area.Value, 2);
            }
        });
        machine.Sysctl.Set("nr_hugepages", "0");
    }

    private static void Collapse(Machine machine, Cpu cpu) => InProcess(machine, cpu, process =>
    {
        ulong huge = machine.HugePages.PageSize.Bytes;
        if (process.Mm.Mmap((long)(2 * huge), ReadWrite) is not { Succeeded: true } area)
        {
            return;
        }

        VirtualAddress aligned = new((area.Value.Value + huge - 1) & ~(huge - 1));
        Touch(cpu, aligned, 12);
        Allowed(process.Mm.Madvise(aligned, (long)huge, MemoryAdvice.HugePage), Errno.ENOMEM, Errno.EINVAL);
        machine.HugePages.Khugepaged.Run(cpu);
        Touch(cpu, aligned, 14);
    });

    private static void Compaction(Machine machine, Cpu cpu) => InProcess(machine, cpu, process =>
    {
        if (process.Mm.Mmap(64 * Page, ReadWrite) is { Succeeded: true } area)
        {
            Touch(cpu, area, 64);
            Allowed(process.Mm.Munmap(area.Value + (3 * Page), 5 * Page), Errno.ENOMEM);
        }

        machine.Reclaim.Enable();
        machine.Compaction.CompactMemory();
    });

    private static void Contiguous(Machine machine, Cpu cpu)
    {
        Page range = machine.Cma.AllocContigPages(cpu, 700);
        if (!range.IsNull)
        {
            machine.Cma.FreeContigRange(cpu, range, 700);
        }
    }

    private static void Snapshots(Machine machine, Cpu cpu)
    {
        VirtualAddress obj = cpu.Kmalloc(64, Gfp.Kernel);
        using (Machine copy = machine.Snapshot().Boot())
        {
            copy.Verify();
            copy.FaultInjection.IsArmed.Should().BeFalse("failures belong to the machine they were asked for");
        }

        cpu.Kfree(obj);
    }

    private static void InProcess(Machine machine, Cpu cpu, Action<Process> program)
    {
        Result<Process> made = machine.Processes.Create("victim");
        Allowed(made.Error, Errno.ENOMEM, Errno.EAGAIN);
        try
        {
            if (made.Succeeded)
            {
                using ContextScope scope = cpu.Run(made.Value);
                program(made.Value);
            }
        }
        catch (SignalException signal)
        {
            signal.SignalInfo.Signal.Should().Match(s => s == MemSim.Signal.SIGKILL || s == MemSim.Signal.SIGBUS);
        }

        foreach (Process process in machine.Processes.ToArray())
        {
            process.Exit();
        }
    }

    private static void Touch(Cpu cpu, VirtualAddress at, int pages)
    {
        for (int i = 0; i < pages; i++)
        {
            cpu.Write(at + (i * Page), i + 1);
        }
    }

    private static void Allowed(Errno error, params ReadOnlySpan<Errno> documented) =>
        (error == Errno.None || documented.Contains(error)).Should().BeTrue("{0} is no documented answer", error);
}
