using FluentAssertions;
using MemSim.AddressSpaces;
using Xunit;

namespace MemSim.Tests.AddressSpaces.Huge;

/// <summary>Random programs in a window of 8 MiB with huge pages everywhere, against a model that keeps a number for every page.</summary>
public class HugePageModelTests
{
    private const int Pages = 4 * 512;

    public static TheoryData<string, int> Runs
    {
        get
        {
            TheoryData<string, int> runs = [];
            foreach (string architecture in (string[])["x86_64", "pae", "arm64", "x86_32"])
            {
                for (int seed = 1; seed <= 4; seed++)
                {
                    runs.Add(architecture, seed);
                }
            }

            return runs;
        }
    }

    [Theory]
    [MemberData(nameof(Runs))]
    public void Random_programs_see_what_they_wrote(string architecture, int seed)
    {
        using Machine machine = HugePageTests.Boot(architecture);
        Cpu cpu = machine.Cpus[0];
        machine.CreateProcess("warm").Exit();
        long free = ForkTests.Free(machine);
        Random random = new(seed);
        List<Model> alive = [new Model(machine.CreateProcess("init"))];
        ulong window = (alive[0].Process.Mm.MmapBase - (32UL << 20)) & ~((4UL << 20) - 1);
        alive[0].MapAll(window);
        for (int step = 0; step < 700; step++)
        {
            alive[random.Next(alive.Count)].Step(random, window, alive, machine);
            if (step % 25 == 0)
            {
                machine.Verify();
            }
        }

        machine.Verify();

        // Two pages of 4 MiB, or four of 2 MiB, fit into the window.
        int least = architecture == "x86_32" ? 0 : 3;
        machine.Events[MemSim.Observability.Proc.VmEvent.ThpFaultAlloc].Should().BeGreaterThan(least);
        machine.Events[MemSim.Observability.Proc.VmEvent.ThpSplitPmd].Should().BeGreaterThan(least);
        machine.Events[MemSim.Observability.Proc.VmEvent.ThpSplitPage].Should().BeGreaterThan(least / 2);
        foreach (Model model in alive)
        {
            model.CheckAll(cpu, window);
            model.Process.Exit();
            machine.Verify();
        }

        machine.SystemFigures.CommittedPages.Should().Be(0);
        machine.Mm.Huge.FreeZero(cpu);
        machine.HugePages.DeferredSplits.Should().Be(0);
        ForkTests.Free(machine).Should().Be(free);
        machine.Mm.Objects(MmObject.AnonVma).Should().Be(0);
        machine.Nodes.Sum(n => n.Counters.AnonPages + n.Counters.AnonHugePages).Should().Be(0);
    }

    private sealed class Model(Process process)
    {
        // Null: not mapped. Otherwise the protection and the number in the page.
        private (Prot Prot, int Value)?[] _pages = new (Prot, int)?[Pages];

        public Process Process { get; } = process;

        public void Step(Random random, ulong window, List<Model> alive, Machine machine)
        {
            // Whole huge pages as often as ranges that cut them.
            int first = random.Next(3) == 0 ? random.Next(Pages) : random.Next(4) * 512;
            int count = random.Next(3) == 0 ? 1 + random.Next(40) : random.Next(2) == 0 ? 512 * (1 + random.Next(2)) : 1 + random.Next(1200);
            count = Math.Min(count, Pages - first);
            VirtualAddress at = new(window + ((ulong)first << 12));
            ulong bytes = (ulong)count << 12;
            Prot prot = random.Next(10) switch { 0 => Prot.Read, 1 => Prot.None, _ => Prot.Read | Prot.Write };
            using ContextScope scope = machine.Cpus[random.Next(machine.Cpus.Count)].Run(Process);
            Cpu on = Process.RunsOn!;
            MemoryDescriptor mm = Process.Mm;
            switch (random.Next(22))
            {
                case 0 or 1:
                    mm.Mmap(at, bytes, prot, MapFlags.Fixed | MapFlags.Anonymous | MapFlags.Private).Value.Should().Be(at);
                    Array.Fill(_pages, (prot, 0), first, count);
                    break;
                case 2:
                    mm.Munmap(at, bytes).Should().Be(Errno.None);
                    Array.Clear(_pages, first, count);
                    break;
                case 3:
                    bool whole = !_pages.AsSpan(first, count).Contains(null);
                    mm.Mprotect(at, bytes, prot).Should().Be(whole ? Errno.None : Errno.ENOMEM);
                    for (int i = first; i < first + count && _pages[i] is { } page; i++)
                    {
                        _pages[i] = (prot, page.Value);
                    }

                    break;
                case 4:
                    if (mm.Madvise(at, bytes, MemoryAdvice.DontNeed) != Errno.EINVAL)
                    {
                        for (int i = first; i < first + count; i++)
                        {
                            _pages[i] = _pages[i] is { } page ? (page.Prot, 0) : null;
                        }
                    }

                    break;
                case 5 when alive.Count < 5:
                    Process child = Process.Fork();
                    alive.Add(new Model(child) { _pages = [.. _pages] });
                    break;
                case 6 when alive.Count > 1:
                    alive.Remove(this);
                    Process.Exit();
                    break;
                case 7:
                    Move(random, window, first, count);
                    break;
                case 8:
                    mm.Madvise(at, bytes, MemoryAdvice.Cold);
                    break;
                case 9:
                    machine.HugePages.Split(on, RandomPage(mm, at, machine));
                    break;
                case 10 when random.Next(2) == 0:
                    machine.Mm.Huge.SplitDeferred(on, machine.Nodes[0], 3);
                    break;
                case 11:
                    mm.Madvise(at, bytes, random.Next(4) == 0 ? MemoryAdvice.NoHugePage : MemoryAdvice.HugePage);
                    break;
                case 12:
                    machine.HugePages.Khugepaged.Run(on);
                    break;
                default:
                    int touches = 1 + random.Next(12);
                    for (int i = 0; i < touches; i++)
                    {
                        int index = random.Next(Pages);
                        Touch(on, random, new VirtualAddress(window + ((ulong)index << 12)), index);
                    }

                    break;
            }
        }

        public void MapAll(ulong window)
        {
            Process.Mm.Mmap(new VirtualAddress(window), (ulong)Pages << 12, Prot.Read | Prot.Write, MapFlags.Fixed | MapFlags.Anonymous | MapFlags.Private).Succeeded.Should().BeTrue();
            Array.Fill(_pages, (Prot.Read | Prot.Write, 0));
        }

        public void CheckAll(Cpu cpu, ulong window)
        {
            using ContextScope scope = cpu.Run(Process);
            for (int i = 0; i < Pages; i++)
            {
                if (_pages[i] is { } page && page.Prot != Prot.None)
                {
                    cpu.Read<int>(new VirtualAddress(window + ((ulong)i << 12) + 8)).Should().Be(page.Value);
                }
            }
        }

        private Page RandomPage(MemoryDescriptor mm, VirtualAddress at, Machine machine)
        {
            ulong word = Process.PageMap(at, 1)[0];
            _ = mm;
            return word >> 63 == 1 ? machine.GetPage(new Pfn((long)(word & 0xffffffff))) : default;
        }

        private void Move(Random random, ulong window, int from, int count)
        {
            int to = random.Next(2) == 0 ? random.Next(4) * 512 : random.Next(Pages);
            count = Math.Min(count, Pages - Math.Max(from, to));
            if (Math.Abs(from - to) < count || _pages.AsSpan(from, count).Contains(null))
            {
                return;
            }

            Result<VirtualAddress> moved = Process.Mm.Mremap(new VirtualAddress(window + ((ulong)from << 12)), (ulong)count << 12, (ulong)count << 12, RemapFlags.MayMove | RemapFlags.Fixed, new VirtualAddress(window + ((ulong)to << 12)));
            if (moved.Succeeded)
            {
                Array.Copy(_pages, from, _pages, to, count);
                Array.Clear(_pages, from, count);
            }
            else
            {
                // More than one area.
                moved.Error.Should().Be(Errno.EFAULT);
            }
        }

        private void Touch(Cpu cpu, Random random, VirtualAddress at, int index)
        {
            bool write = random.Next(2) == 0;
            bool allowed = _pages[index] is { } page && (page.Prot & (write ? Prot.Write : Prot.Read)) != 0;
            int value = random.Next();
            try
            {
                if (write)
                {
                    cpu.Write(at + 8, value);
                    allowed.Should().BeTrue();
                    _pages[index] = (_pages[index]!.Value.Prot, value);
                }
                else
                {
                    cpu.Read<int>(at + 8).Should().Be(allowed ? _pages[index]!.Value.Value : -1);
                    cpu.Read<int>(at + 4080).Should().Be(0);
                }
            }
            catch (SignalException signal)
            {
                allowed.Should().BeFalse();
                signal.SignalInfo.Code.Should().Be(_pages[index] is null ? SignalCode.MapError : SignalCode.AccessError);
            }
        }
    }
}
