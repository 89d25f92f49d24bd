using FluentAssertions;
using FsCheck;
using FsCheck.Fluent;
using MemSim.Swap;
using Xunit;

namespace MemSim.Tests.Swap;

/// <summary>Random programs against a naive model: whatever happens, every page of every process holds what was last written to it.</summary>
public sealed class SwapModelTests
{
    private const int Pages = 24;

    [Theory]
    [InlineData("solid-state")]
    [InlineData("rotating")]
    [InlineData("synchronous")]
    public void Random_programs_never_lose_or_mix_up_a_page(string device)
    {
        var step = Gen.Choose(0, 15).Zip(Gen.Choose(0, 1 << 20), (kind, number) => (Kind: kind, Number: number));
        var runs = Arb.From(step.ArrayOf(250), Shrink);
        Prop.ForAll(runs, steps => Agrees(steps, device)).Check(Config.QuickThrowOnFailure.WithMaxTest(25).WithReplay(2026, 3));
    }

    private static IEnumerable<(int Kind, int Number)[]> Shrink((int Kind, int Number)[] steps)
    {
        for (int part = steps.Length / 2; part > 0; part /= 2)
        {
            for (int start = 0; start < steps.Length; start += part)
            {
                yield return [.. steps[..start], .. steps[Math.Min(start + part, steps.Length)..]];
            }
        }
    }

    private static bool Agrees((int Kind, int Number)[] steps, string device)
    {
        using SwapRig rig = new(MachineSpec.X86_64("128M", cpus: 2));
        Model model = new(rig, device);
        foreach ((int kind, int number) in steps)
        {
            model.Step(kind, number);
        }

        model.End();
        return true;
    }

    private sealed class Model
    {
        private readonly SwapRig _rig;
        private readonly string _device;
        private readonly List<(SwapArea Area, MemorySwapBacking Disk)> _areas = [];
        private int _content;

        public Model(SwapRig rig, string device)
        {
            _rig = rig;
            _device = device;
            _ = rig.NewProcess(Pages);
            AddArea(40, 0);
            AddArea(30, 0);
        }

        public void Step(int kind, int number)
        {
            SwapRigProcess process = _rig.Processes[number % _rig.Processes.Count];
            int index = number / 7 % Pages;
            switch (kind)
            {
                case <= 3:
                    _ = process.Write(index, ++_content);
                    break;
                case <= 8 when process.PageOf(index) >= 0:
                    _ = _rig.Reclaim(process.PageOf(index));
                    break;
                case <= 10 when !process.EntryOf(index).IsNone:
                    _ = process.Touch(index, write: number % 3 == 0);
                    break;
                case 11 when _rig.Processes.Count < 5:
                    _ = _rig.Fork(process);
                    break;
                case 12 when _rig.Processes.Count > 1 && number % 3 == 0:
                    _rig.Exit(process);
                    break;
                case 13:
                    Disturb(number);
                    break;
                case 14 when _areas.Count > 0 && number % 2 == 0:
                    SwitchOff(number / 2 % _areas.Count);
                    break;
                case 15:
                    _ = _rig.Swap.CompleteWrites(_rig.Cpu);
                    if (_areas.Count < 3)
                    {
                        AddArea(12 + (number % 50), number % 2 == 0 ? 5 : null);
                    }

                    break;
            }

            if (number % 16 == 0)
            {
                _rig.Verify();
            }
        }

        public void End()
        {
            foreach ((_, MemorySwapBacking disk) in _areas)
            {
                disk.FailsReads = disk.FailsWrites = disk.HoldsWrites = false;
            }

            _ = _rig.Swap.CompleteWrites(_rig.Cpu);
            ForgetUnread();
            _rig.Verify();
            while (_areas.Count != 0)
            {
                SwitchOff(0).Should().Be(Errno.None);
            }

            foreach (SwapRigProcess process in _rig.Processes)
            {
                for (int i = 0; i < Pages; i++)
                {
                    process.EntryOf(i).IsNone.Should().BeTrue();
                    (process.PageOf(i) >= 0).Should().Be(process.WrittenTo(i) != 0, "no page is lost");
                }
            }

            _rig.Verify();
            while (_rig.Processes.Count != 0)
            {
                _rig.Exit(_rig.Processes[0]);
            }

            _rig.Machine.Lru.DrainAll();
            _rig.Swap.CachedPages.Should().Be(0);
            (_rig.Machine.Nodes[0].Counters.InactiveAnon + _rig.Machine.Nodes[0].Counters.ActiveAnon).Should().Be(0);
            _rig.Verify();
        }

        private void AddArea(long pages, int? priority)
        {
            MemorySwapBacking disk = new($"sd{_areas.Count}", pages, solidState: _device != "rotating", synchronous: _device == "synchronous");
            _areas.Add((_rig.Swap.SwapOn(disk, priority, pages % 2 == 0 ? SwapDiscard.Pages : SwapDiscard.None), disk));
        }

        private void Disturb(int number)
        {
            if (_areas.Count != 0)
            {
                MemorySwapBacking disk = _areas[number % _areas.Count].Disk;
                disk.FailsReads = number / 4 % 3 == 1;
                disk.FailsWrites = number / 4 % 3 == 2;
                disk.HoldsWrites = number / 16 % 2 == 1;
                if (!disk.FailsReads)
                {
                    ForgetUnread();
                }
            }
        }

        /// <summary>Reclaims pages of the swap cache that could not be read.</summary>
        private void ForgetUnread()
        {
            foreach ((SwapArea area, _) in _areas)
            {
                for (long slot = 1; slot <= area.Pages; slot++)
                {
                    int pfn = _rig.Swap.Peek(new SwapEntry(area.Type, slot));
                    if (pfn >= 0 && !_rig.Machine.Frames.FlagsOf(pfn).HasFlag(PageFlags.UpToDate))
                    {
                        _rig.Reclaim(pfn).Should().BeTrue();
                    }
                }
            }
        }

        private Errno SwitchOff(int index)
        {
            Errno error = _rig.Swap.SwapOff(_rig.Cpu, _areas[index].Area);
            error.Should().BeOneOf(Errno.None, Errno.EIO);
            _areas[index].Area.IsOn.Should().Be(error != Errno.None);
            if (error == Errno.None)
            {
                _areas.RemoveAt(index);
            }

            return error;
        }
    }
}
