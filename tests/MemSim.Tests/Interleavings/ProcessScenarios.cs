using FluentAssertions;
using MemSim.Boot;
using MemSim.Hardware;

namespace MemSim.Tests.Interleavings;

/// <summary>What accesses, faults, memory calls and reclaim do to each other.</summary>
internal static class ProcessScenarios
{
    private const int PageBytes = PageGeometry.PageSize;
    private const ulong KernelWord = 0xdead_beef_0000_0001;

    public static IReadOnlyList<Scenario> All { get; } =
    [
        new("munmap against writes of another CPU", 2, seam => Unmapping(seam, (mm, data) => mm.Munmap(data, PageBytes))),
        new("MADV_DONTNEED against writes of another CPU", 2, seam => Unmapping(seam, (mm, data) => mm.Madvise(data, PageBytes, MemoryAdvice.DontNeed))),
        new("mprotect against writes of another CPU", 2, Protecting),
        new("two first faults on one page", 2, FirstFaults),
        new("first faults against a drain of all CPUs' batches", 2, DrainedBatches),
        new("reclaim against faults", 2, seam => Reclaiming(seam, 2)),
        new("reclaim against faults of two CPUs", 3, seam => Reclaiming(seam, 3)),
        new("swap-in against swap-in", 2, SwapIn),
        new("exit against reclaim", 2, Exiting),
        new("fork against faults", 2, Forking),
        new("copy on write in parent and child", 2, CopyOnWrite),
        new("a cgroup's reclaim against faults and munmap", 2, CgroupReclaim),
        new("compaction against faults, free and munmap", 2, Compaction),
        new("a huge page split against writes", 2, Splitting),
        new("writes to a file against write-back and dropped caches", 2, Files),
    ];

    private static Stage Unmapping(IInterleaver seam, Func<MemoryDescriptor, VirtualAddress, Errno> end)
    {
        Threads threads = new(seam, 2, pages: 1);
        Machine machine = threads.Machine;
        List<Page> kernel = [];
        return new Stage(machine,
            [
                () => threads.Run(0, cpu =>
                {
                    try
                    {
                        cpu.Write(threads.Data, 1L);
                        cpu.Write(threads.Data, 2L);
                    }
                    catch (SignalException)
                    {
                        // The page is gone.
                    }
                }),
                () => threads.Run(1, cpu =>
                {
                    end(threads.Of(1).Mm, threads.Data).Should().Be(Errno.None);
                    for (int i = 0; i < 3; i++)
                    {
                        kernel.Add(cpu.AllocPages(Gfp.HighUserMovable, 0));
                        cpu.Write(kernel[i].Address, KernelWord);
                    }
                }),
            ],
            () =>
            {
                foreach (Page page in kernel)
                {
                    machine.Cpus[1].Read<ulong>(page.Address).Should().Be(KernelWord, "what a process writes never lands in another's page");
                    machine.Cpus[1].FreePages(page, 0);
                }

                threads.End();
            });
    }

    private static Stage Protecting(IInterleaver seam)
    {
        Threads threads = new(seam, 2, pages: 1);
        long seen = 0;
        return new Stage(threads.Machine,
            [
                () => threads.Run(0, cpu =>
                {
                    try
                    {
                        for (long i = 1; i < 4; i++)
                        {
                            cpu.Write(threads.Data, i);
                        }
                    }
                    catch (SignalException)
                    {
                        // It may not be written any more.
                    }
                }),
                () => threads.Run(1, cpu =>
                {
                    threads.Of(1).Mm.Mprotect(threads.Data, PageBytes, Prot.Read).Should().Be(Errno.None);
                    seen = cpu.Read<long>(threads.Data);
                }),
            ],
            () =>
            {
                threads.Run(0, cpu => cpu.Read<long>(threads.Data).Should().Be(seen, "nothing is written after mprotect() has returned"));
                threads.End();
            });
    }

    private static Stage FirstFaults(IInterleaver seam)
    {
        Threads threads = new(seam, 2, pages: 2, touched: false);
        void Use(int id) => threads.Run(id, cpu =>
        {
            cpu.Write(threads.At(0) + (id * 8L), 5L + id);
            cpu.Write(threads.At(1) + (id * 8L), 7L + id);
            cpu.Read<long>(threads.At(0) + (id * 8L)).Should().Be(5 + id);
        });
        return new Stage(threads.Machine, [() => Use(0), () => Use(1)], () =>
        {
            threads.Run(0, cpu =>
            {
                for (int id = 0; id < 2; id++)
                {
                    cpu.Read<long>(threads.At(0) + (id * 8L)).Should().Be(5 + id);
                    cpu.Read<long>(threads.At(1) + (id * 8L)).Should().Be(7 + id);
                }
            });
            threads.End();
        });
    }

    private static Stage DrainedBatches(IInterleaver seam)
    {
        Threads threads = new(seam, 2, pages: 3, touched: false);
        return new Stage(threads.Machine,
            [
                () => threads.Run(0, cpu =>
                {
                    for (int page = 0; page < 3; page++)
                    {
                        cpu.Write(threads.At(page), 10L + page);
                    }
                }),
                () => threads.Run(1, cpu =>
                {
                    threads.Machine.Lru.DrainAll(cpu);
                    threads.Machine.Lru.DrainAll(cpu);
                }),
            ],
            () =>
            {
                threads.Run(1, cpu => cpu.Read<long>(threads.At(2)).Should().Be(12));
                threads.End();
            });
    }

    private static Stage Reclaiming(IInterleaver seam, int cpus)
    {
        Threads threads = new(seam, cpus, pages: 2);
        void Use(int id) => threads.Run(id, cpu =>
        {
            for (int page = 0; page < 2; page++)
            {
                cpu.Write(threads.At(page) + (id * 8L), 100L + page);
                cpu.Read<long>(threads.At(page) + (id * 8L)).Should().Be(100 + page, "what was written is there");
            }
        });
        return new Stage(threads.Machine, [.. Enumerable.Range(0, cpus).Select(id => (Action)(() =>
        {
            if (id != cpus - 1)
            {
                Use(id);
                return;
            }

            threads.Run(id, _ =>
            {
                threads.Of(id).Mm.Madvise(threads.Data, 2 * PageBytes, MemoryAdvice.PageOut).Should().Be(Errno.None);
                threads.Of(id).Mm.Madvise(threads.Data, PageBytes, MemoryAdvice.PageOut).Should().Be(Errno.None);
            });
        }))], () =>
        {
            threads.Run(0, cpu =>
            {
                for (int id = 0; id < cpus - 1; id++)
                {
                    cpu.Read<long>(threads.At(0) + (id * 8L)).Should().Be(100);
                    cpu.Read<long>(threads.At(1) + (id * 8L)).Should().Be(101);
                }
            });
            threads.End();
        });
    }

    private static Stage SwapIn(IInterleaver seam)
    {
        Threads threads = new(seam, 2, pages: 2);
        threads.Run(0, _ => threads.Of(0).Mm.Madvise(threads.Data, 2 * PageBytes, MemoryAdvice.PageOut).Should().Be(Errno.None));
        void Use(int id) => threads.Run(id, cpu =>
        {
            cpu.Read<long>(threads.At(0)).Should().Be(10, "it comes back as it went");
            cpu.Write(threads.At(1) + 8 + (id * 8L), 3L);
            threads.Of(id).Mm.Madvise(threads.At(id), PageBytes, MemoryAdvice.PageOut).Should().Be(Errno.None);
        });
        return new Stage(threads.Machine, [() => Use(0), () => Use(1)], () =>
        {
            threads.Run(0, cpu =>
            {
                cpu.Read<long>(threads.At(0)).Should().Be(10);
                cpu.Read<long>(threads.At(1)).Should().Be(11);
                cpu.Read<long>(threads.At(1) + 8).Should().Be(3);
                cpu.Read<long>(threads.At(1) + 16).Should().Be(3);
            });
            threads.End();
        });
    }

    private static Stage Exiting(IInterleaver seam)
    {
        Threads threads = new(seam, 2, pages: 2);
        Process child = threads.Of(0).Fork(threads.Machine.Cpus[0]).Value;
        return new Stage(threads.Machine,
            [
                () =>
                {
                    Cpu cpu = threads.Machine.Cpus[0];
                    using (cpu.Run(child))
                    {
                        cpu.Write(threads.At(1), 77L);
                    }

                    child.Exit(0, cpu);
                },
                () => threads.Run(1, cpu =>
                {
                    threads.Of(1).Mm.Madvise(threads.Data, 2 * PageBytes, MemoryAdvice.PageOut).Should().Be(Errno.None);
                    cpu.Read<long>(threads.At(1)).Should().Be(11, "a child's write is its own");
                }),
            ],
            () =>
            {
                threads.Run(0, cpu =>
                {
                    cpu.Read<long>(threads.At(0)).Should().Be(10);
                    cpu.Read<long>(threads.At(1)).Should().Be(11);
                });
                threads.End();
            });
    }

    private static Stage Forking(IInterleaver seam)
    {
        Threads threads = new(seam, 2, pages: 2);
        Process? child = null;
        return new Stage(threads.Machine,
            [
                () =>
                {
                    Cpu cpu = threads.Machine.Cpus[0];
                    using (cpu.Run(threads.Of(0)))
                    {
                        child = threads.Of(0).Fork(cpu).Value;
                    }

                    using (cpu.Run(child))
                    {
                        cpu.Read<long>(threads.At(0)).Should().BeOneOf(10, 20);
                        cpu.Write(threads.At(1), 33L);
                    }
                },
                () => threads.Run(1, cpu =>
                {
                    cpu.Write(threads.At(0), 20L);
                    cpu.Write(threads.At(1), 21L);
                    cpu.Read<long>(threads.At(0)).Should().Be(20);
                    cpu.Write(threads.At(0) + 8, 22L);
                }),
            ],
            () =>
            {
                Cpu cpu = threads.Machine.Cpus[0];
                using (cpu.Run(child!))
                {
                    long first = cpu.Read<long>(threads.At(0));
                    long second = cpu.Read<long>(threads.At(0) + 8);
                    (first == 10 ? second == 0 : first == 20).Should().BeTrue($"the child has a page of one moment, not {first} and {second}");
                    cpu.Read<long>(threads.At(1)).Should().Be(33);
                }

                child!.Exit(0, cpu);
                threads.Run(1, other =>
                {
                    other.Read<long>(threads.At(0)).Should().Be(20);
                    other.Read<long>(threads.At(1)).Should().Be(21);
                    other.Read<long>(threads.At(0) + 8).Should().Be(22);
                });
                threads.End();
            });
    }

    private static Stage CopyOnWrite(IInterleaver seam)
    {
        Threads threads = new(seam, 2, pages: 2);
        Process child = threads.Of(0).Fork(threads.Machine.Cpus[0]).Value;
        void Use(int id, Process process)
        {
            Cpu cpu = threads.Machine.Cpus[id];
            using ContextScope scope = cpu.Run(process);
            cpu.Write(threads.At(0) + 8, 50L + id);
            cpu.Read<long>(threads.At(0)).Should().Be(10);
            cpu.Read<long>(threads.At(0) + 8).Should().Be(50 + id);
            cpu.Write(threads.At(1), 60L + id);
        }

        return new Stage(threads.Machine, [() => Use(0, threads.Of(0)), () => Use(1, child)], () =>
        {
            foreach ((int id, Process process) in new[] { (0, threads.Of(0)), (1, child) })
            {
                Cpu cpu = threads.Machine.Cpus[id];
                using ContextScope scope = cpu.Run(process);
                cpu.Read<long>(threads.At(0) + 8).Should().Be(50 + id);
                cpu.Read<long>(threads.At(1)).Should().Be(60 + id);
            }

            child.Exit(0, threads.Machine.Cpus[1]);
            threads.End();
        });
    }

    private static Stage CgroupReclaim(IInterleaver seam)
    {
        Threads threads = new(seam, 2, pages: 3, cgroup: "group");
        Machine machine = threads.Machine;
        Cgroup group = machine.Cgroups.Find("group")!;
        return new Stage(machine,
            [
                () => threads.Run(0, cpu =>
                {
                    cpu.Write(threads.At(1), 40L);
                    threads.Of(0).Mm.Munmap(threads.At(2), PageBytes).Should().Be(Errno.None);
                    cpu.Read<long>(threads.At(0)).Should().Be(10);
                }),
                () => _ = group.ReclaimFor(machine.Cpus[1], 2, swappiness: 200),
            ],
            () =>
            {
                threads.Run(0, cpu =>
                {
                    cpu.Read<long>(threads.At(0)).Should().Be(10);
                    cpu.Read<long>(threads.At(1)).Should().Be(40);
                });
                threads.End();
            });
    }

    private static Stage Compaction(IInterleaver seam)
    {
        Threads threads = new(seam, 2, pages: 3);
        Machine machine = threads.Machine;
        Page held = machine.Cpus[0].AllocPages(Gfp.HighUserMovable, 3);
        return new Stage(machine,
            [
                () => threads.Run(0, cpu =>
                {
                    cpu.Write(threads.At(0), 40L);
                    cpu.FreePages(held, 3);
                    threads.Of(0).Mm.Munmap(threads.At(2), PageBytes).Should().Be(Errno.None);
                    cpu.Read<long>(threads.At(1)).Should().Be(11);
                }),
                () => threads.Run(1, _ => machine.Compaction.CompactMemory()),
            ],
            () =>
            {
                threads.Run(0, cpu =>
                {
                    cpu.Read<long>(threads.At(0)).Should().Be(40);
                    cpu.Read<long>(threads.At(1)).Should().Be(11);
                });
                threads.End();
            });
    }

    private static Stage Splitting(IInterleaver seam)
    {
        Threads threads = new(seam, 2, pages: 1024, touched: false, huge: true);
        Machine machine = threads.Machine;
        VirtualAddress huge = new((threads.Data.Value + (1UL << 21) - 1) & ~((1UL << 21) - 1));
        threads.Run(0, cpu => cpu.Write(huge, 1L));
        return new Stage(machine,
            [
                () => threads.Run(0, cpu =>
                {
                    cpu.Write(huge + 8, 2L);
                    cpu.Write(huge + (3L * PageBytes), 3L);
                }),
                () => threads.Run(1, _ =>
                {
                    threads.Of(1).Mm.Madvise(huge + (100L * PageBytes), 2 * PageBytes, MemoryAdvice.PageOut).Should().Be(Errno.None);
                    threads.Of(1).Mm.Munmap(huge + (200L * PageBytes), PageBytes).Should().Be(Errno.None);
                }),
            ],
            () =>
            {
                threads.Run(0, cpu =>
                {
                    cpu.Read<long>(huge).Should().Be(1);
                    cpu.Read<long>(huge + 8).Should().Be(2);
                    cpu.Read<long>(huge + (3L * PageBytes)).Should().Be(3);
                });
                threads.End();
            });
    }

    private static Stage Files(IInterleaver seam)
    {
        Machine machine = MachineBooter.Boot(MachineSpec.X86_64("96M", 2).WithParallelCpus(), seam);
        BlockDevice disk = new("sda", "8M");
        DiskFileSystem files = machine.Files.Mount(disk);
        OpenFile file = files.Create("data");
        machine.Cpus[0].Files.Write(file, 0, new byte[2 * PageBytes]);
        byte[] word = BitConverter.GetBytes(0x1234L);
        byte[] read = new byte[8];
        return new Stage(machine,
            [
                () =>
                {
                    Cpu cpu = machine.Cpus[0];
                    cpu.Files.Write(file, 16, word);
                    cpu.Files.Write(file, PageBytes + 16, word);
                    cpu.Files.Read(file, 16, read);
                    BitConverter.ToInt64(read).Should().Be(0x1234);
                },
                () =>
                {
                    Cpu cpu = machine.Cpus[1];
                    cpu.Files.Fsync(file);
                    machine.Lru.DrainAll(cpu);
                    using (machine.EnterOwners())
                    {
                        _ = machine.Files.PageCache.DropPages(cpu);
                    }
                },
            ],
            () =>
            {
                for (int page = 0; page < 2; page++)
                {
                    machine.Cpus[0].Files.Read(file, (page * PageBytes) + 16, read);
                    BitConverter.ToInt64(read).Should().Be(0x1234);
                }
            },
            disk);
    }

    /// <summary>Tasks on one address space, as threads are, one for each CPU, with pages that hold 10, 11, ...</summary>
    private sealed class Threads
    {
        private readonly List<Process> _tasks = [];

        public Threads(IInterleaver seam, int cpus, int pages, bool touched = true, bool huge = false, string? cgroup = null)
        {
            Machine = MachineBooter.Boot(MachineSpec.X86_64(huge ? "128M" : "96M", cpus).WithParallelCpus(), seam);
            Machine.HugePages.Enabled = huge ? TransparentHugePages.Always : TransparentHugePages.Never;
            _ = Machine.Swap.SwapOn(new BlockDevice("zram0", "4M", BlockDeviceCosts.Memory));
            Cpu cpu = Machine.Cpus[0];
            _tasks.Add(Machine.CreateProcess("threads"));
            if (cgroup is not null)
            {
                Machine.Cgroups.Create(cgroup)["cgroup.procs"] = _tasks[0].Pid.ToString(System.Globalization.CultureInfo.InvariantCulture);
            }

            using (cpu.Run(_tasks[0]))
            {
                Data = _tasks[0].Mm.Mmap((long)pages * PageBytes, Prot.Read | Prot.Write);
                for (int page = 0; page < pages && touched; page++)
                {
                    cpu.Write(At(page), 10L + page);
                }

                for (int id = 1; id < cpus; id++)
                {
                    _tasks.Add(_tasks[0].Vfork());
                }
            }

            Machine.Lru.DrainAll();
            foreach (Cpu each in Machine.Cpus)
            {
                each.UseMmu().InsideAccess = () => seam.Pass("CpuMmu.TranslateInside");
            }
        }

        public Machine Machine { get; }

        public VirtualAddress Data { get; }

        public VirtualAddress At(int page) => Data + ((long)page * PageBytes);

        public Process Of(int cpu) => _tasks[cpu];

        /// <summary>Does something on a CPU in its task.</summary>
        public void Run(int id, Action<Cpu> act)
        {
            Cpu cpu = Machine.Cpus[id];
            using ContextScope scope = cpu.Run(_tasks[id]);
            act(cpu);
        }

        /// <summary>All tasks end; then no page of theirs is left anywhere.</summary>
        public void End()
        {
            Machine.Verify();
            for (int id = _tasks.Count - 1; id >= 0; id--)
            {
                _tasks[id].Exit(0, Machine.Cpus[id]);
            }

            Machine.Swap.Areas.Sum(area => area.UsedPages).Should().Be(0, "no slot is left when all processes have ended");
        }
    }
}
