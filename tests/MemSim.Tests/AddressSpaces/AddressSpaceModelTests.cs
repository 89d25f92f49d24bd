using FluentAssertions;
using Xunit;

namespace MemSim.Tests.AddressSpaces;

/// <summary>Random programs of mmap, touch, fork, munmap, mprotect, mremap, madvise and exit against a model that keeps every byte.</summary>
public class AddressSpaceModelTests
{
    private const int Pages = 48;

    public static TheoryData<string, int> Runs
    {
        get
        {
            TheoryData<string, int> runs = [];
            foreach (string architecture in (string[])["x86_64", "x86_32", "pae", "arm64"])
            {
                for (int seed = 1; seed <= 3; seed++)
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
        using Machine machine = ForkTests.Boot(architecture);
        RunPrograms(machine, seed, steps: 1500, (_, _) => { });
    }

    /// <summary>Runs random programs and checks what they see.</summary>
    internal static void RunPrograms(Machine machine, int seed, int steps, Action<Random, int> between)
    {
        _ = machine.Mm;
        Cpu cpu = machine.Cpus[0];
        machine.CreateProcess("warm").Exit();
        long free = machine.FreePagesAtRest();
        Random random = new(seed);
        List<Model> alive = [new Model(machine.CreateProcess("init"))];
        ulong window = alive[0].Process.Mm.MmapBase - ((Pages + 64) << 12);
        for (int step = 0; step < steps; step++)
        {
            between(random, step);
            Model model = alive[random.Next(alive.Count)];
            model.Step(cpu, random, window, alive, machine);
            if (step % 100 == 0)
            {
                machine.Verify();
            }
        }

        machine.Verify();
        foreach (Model model in alive)
        {
            model.CheckAll(cpu, window);
            model.Process.Exit();
            machine.Verify();
        }

        machine.SystemFigures.CommittedPages.Should().Be(0);
        machine.FreePagesAtRest().Should().Be(free);
        machine.Mm.Objects(MemSim.AddressSpaces.KernelObject.AnonVma).Should().Be(0);
        machine.Mm.Objects(MemSim.AddressSpaces.KernelObject.AnonVmaChain).Should().Be(0);
        machine.Mm.Objects(MemSim.AddressSpaces.KernelObject.Task).Should().Be(0);
    }

    private sealed class Model(Process process)
    {
        // Null: not mapped. Otherwise the protection and the first byte of the page; shared pages have a cell in common.
        private (Prot Prot, Cell Cell)?[] _pages = new (Prot, Cell)?[Pages];

        public Process Process { get; } = process;

        public void Step(Cpu cpu, Random random, ulong window, List<Model> alive, Machine machine)
        {
            int first = random.Next(Pages);
            int count = 1 + random.Next(Math.Min(12, Pages - first));
            VirtualAddress at = new(window + ((ulong)first << 12));
            ulong bytes = (ulong)count << 12;
            Prot prot = random.Next(4) switch { 0 => Prot.Read, 1 => Prot.None, _ => Prot.Read | Prot.Write };
            using ContextScope scope = machine.Cpus[random.Next(machine.Cpus.Count)].Run(Process);
            Cpu on = Process.RunsOn!;
            switch (random.Next(16))
            {
                case 0 or 1:
                    bool shared = random.Next(3) == 0;
                    Process.Mm.Mmap(at, bytes, prot, MapFlags.Fixed | MapFlags.Anonymous | (shared ? MapFlags.Shared : MapFlags.Private)).Value.Should().Be(at);
                    for (int i = 0; i < count; i++)
                    {
                        _pages[first + i] = (prot, new Cell { IsShared = shared });
                    }

                    break;
                case 2:
                    Process.Mm.Munmap(at, bytes).Should().Be(Errno.None);
                    Array.Clear(_pages, first, count);
                    break;
                case 3 or 4:
                    bool whole = _pages.AsSpan(first, count).ToArray().All(p => p is not null);
                    Process.Mm.Mprotect(at, bytes, prot).Should().Be(whole ? Errno.None : Errno.ENOMEM);
                    for (int i = 0; i < count && _pages[first + i] is { } page; i++)
                    {
                        _pages[first + i] = (prot, page.Cell);
                    }

                    break;
                case 5:
                    for (int i = 0; i < count; i++)
                    {
                        // Locked pages refuse.
                        if (Process.Mm.Madvise(at + (i << 12), 4096, MemoryAdvice.DontNeed) == Errno.None && _pages[first + i] is { Cell.IsShared: false } page)
                        {
                            _pages[first + i] = (page.Prot, new Cell());
                        }
                    }

                    break;
                case 6 when alive.Count < 6:
                    Process child = Process.Fork();
                    Model copy = new(child) { _pages = [.. _pages.Select(p => p is { } page ? (page.Prot, page.Cell.IsShared ? page.Cell : new Cell { Value = page.Cell.Value }) : default((Prot, Cell)?))] };
                    alive.Add(copy);
                    break;
                case 7 when alive.Count > 1 && random.Next(2) == 0:
                    alive.Remove(this);
                    Process.Exit();
                    break;
                case 8:
                    Move(random, window, first);
                    break;
                case 9:
                    Process.Mm.Mlock(at, bytes);
                    break;
                case 10:
                    Process.Mm.Munlock(at, bytes);
                    break;
                default:
                    for (int i = 0; i < count; i++)
                    {
                        Touch(on, random, at + (i << 12), first + i);
                    }

                    break;
            }
        }

        public void CheckAll(Cpu cpu, ulong window)
        {
            using ContextScope scope = cpu.Run(Process);
            for (int i = 0; i < Pages; i++)
            {
                if (_pages[i] is { } page && page.Prot != Prot.None)
                {
                    cpu.Read<int>(new VirtualAddress(window + ((ulong)i << 12) + 8)).Should().Be(page.Cell.Value);
                }
            }
        }

        private void Move(Random random, ulong window, int from)
        {
            int to = random.Next(Pages);
            if (from == to || _pages[from] is not { } page || page.Cell.IsShared)
            {
                return;
            }

            Process.Mm.Mremap(new VirtualAddress(window + ((ulong)from << 12)), 4096, 4096, RemapFlags.MayMove | RemapFlags.Fixed, new VirtualAddress(window + ((ulong)to << 12))).Succeeded.Should().BeTrue();
            _pages[to] = page;
            _pages[from] = null;
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
                    _pages[index]!.Value.Cell.Value = value;
                }
                else
                {
                    cpu.Read<int>(at + 8).Should().Be(allowed ? _pages[index]!.Value.Cell.Value : -1);
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

    private sealed class Cell
    {
        public bool IsShared { get; init; }

        public int Value { get; set; }
    }
}
