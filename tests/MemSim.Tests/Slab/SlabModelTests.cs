using FluentAssertions;
using FsCheck;
using FsCheck.Fluent;
using Xunit;

namespace MemSim.Tests.Slab;

/// <summary>Random calls against a naive model: the model is the set of objects handed out, with the bytes written into each.</summary>
public abstract class SlabModel
{
    /// <summary>The value of <c>slab_allocator=</c>.</summary>
    protected abstract string Implementation { get; }

    /// <summary>The kernel's version.</summary>
    protected virtual string Kernel => "6.1";

    [Theory]
    [InlineData("")]
    [InlineData("slub_debug=FZPU")]
    public void Random_calls_agree_with_a_set_of_objects(string options)
    {
        var step = Gen.Choose(0, 9).Zip(Gen.Choose(0, 1 << 20), (kind, number) => (Kind: kind, Number: number));
        var runs = Arb.From(step.ArrayOf(300), Shrink);
        Prop.ForAll(runs, steps => Agrees(steps, options)).Check(Config.QuickThrowOnFailure.WithMaxTest(options.Length == 0 ? 60 : 15).WithReplay(2026, 1));
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

    private bool Agrees((int Kind, int Number)[] steps, string options)
    {
        using Machine machine = Machine.Boot(MachineSpec.X86_64("128M", cpus: 3).WithKernel(Kernel).WithCommandLine($"slab_allocator={Implementation} {options}"));
        Model model = new(machine);
        foreach ((int kind, int number) in steps)
        {
            model.Step(kind, number);
        }

        model.End();
        return true;
    }

    private sealed class Model
    {
        private readonly Machine _machine;
        private readonly KmemCache[] _caches;
        private readonly List<(VirtualAddress Address, KmemCache? Cache, byte Mark, int Length)> _live = [];
        private byte _mark;

        public Model(Machine machine)
        {
            _machine = machine;
            if (machine.Slab.Implementation == "slub")
            {
                machine.Slab.ShuffleFreelists(7);
            }

            _caches =
            [
                machine.Slab.CreateCache("small", 24, flags: SlabFlags.TypesafeByRcu),
                machine.Slab.CreateCache("line", 200, flags: SlabFlags.HwCacheAlign | SlabFlags.ReclaimAccount),
                machine.Slab.CreateCache("large", 3000, new KmemCacheArgs { Align = 256, SheafCapacity = 7 }),
            ];
        }

        public void Step(int kind, int number)
        {
            Cpu cpu = _machine.Cpus[number % 3];
            KmemCache cache = _caches[number / 3 % 3];
            switch (kind)
            {
                case 0 or 1 or 2:
                    Take(cpu.Alloc(cache, Gfp.Kernel), cache, cache.ObjectSize);
                    break;
                case 3:
                    int size = (number >> 4) % 9000;
                    Take(cpu.Kmalloc(size, Gfp.Kernel), null, size);
                    break;
                case 4 or 5 or 6 when _live.Count != 0:
                    Give(cpu, number % _live.Count);
                    break;
                case 7:
                    VirtualAddress[] objects = new VirtualAddress[1 + (number % 60)];
                    cpu.Slab.AllocBulk(cache, Gfp.Kernel, objects).Should().Be(objects.Length);
                    foreach (VirtualAddress obj in objects)
                    {
                        Take(obj, cache, cache.ObjectSize);
                    }

                    break;
                case 8:
                    GiveBulk(cpu, cache, number % 80);
                    break;
                case 9 when number % 8 == 0:
                    _machine.Slab.ShrinkCache(cache);
                    break;
                case 9:
                    _machine.Verify();
                    break;
            }
        }

        public void End()
        {
            _machine.Verify();
            while (_live.Count != 0)
            {
                Give(_machine.Cpus[_live.Count % 3], _live.Count - 1);
            }

            foreach (KmemCache cache in _caches)
            {
                _machine.Slab.UsageOf(cache).LiveObjects.Should().Be(0);
                _machine.Slab.DestroyCache(cache).Should().BeTrue();
            }

            _ = SlabLeftovers.ShrinkAll(_machine);
            _machine.Slab.ReclaimablePages(0).Should().Be(0);
        }

        private void Take(VirtualAddress obj, KmemCache? cache, int length)
        {
            obj.IsNull.Should().BeFalse();
            if (length == 0)
            {
                return;
            }

            _machine.Cpus[0].Slab.Span(obj, length).Fill(++_mark);
            _live.Add((obj, cache, _mark, length));
        }

        /// <summary>Gives an object back after checking that nobody else wrote to it.</summary>
        private void Give(Cpu cpu, int index)
        {
            (VirtualAddress obj, KmemCache? cache, byte mark, int length) = _live[index];
            _live.RemoveAt(index);
            Check(obj, mark, length);
            if (cache is null || length % 2 == 0)
            {
                cpu.Kfree(obj);
            }
            else
            {
                cpu.Free(cache, obj);
            }
        }

        private void GiveBulk(Cpu cpu, KmemCache cache, int count)
        {
            List<VirtualAddress> objects = [];
            for (int i = _live.Count - 1; i >= 0 && objects.Count < count; i--)
            {
                if (_live[i].Cache == cache)
                {
                    Check(_live[i].Address, _live[i].Mark, _live[i].Length);
                    objects.Add(_live[i].Address);
                    _live.RemoveAt(i);
                }
            }

            cpu.Slab.FreeBulk(cache, objects.ToArray());
        }

        private void Check(VirtualAddress obj, byte mark, int length) =>
            _machine.Cpus[0].Slab.Span(obj, length).IndexOfAnyExcept(mark).Should().Be(-1, "another object must not share its bytes");
    }
}

public sealed class SlubModelTests : SlabModel
{
    protected override string Implementation => "slub";
}

/// <summary>SLUB with sheaves before the CPUs' slabs, for the caches that ask.</summary>
public sealed class SlubOf6_18ModelTests : SlabModel
{
    protected override string Implementation => "slub";

    protected override string Kernel => "6.18";
}

/// <summary>SLUB with sheaves instead of CPU slabs.</summary>
public sealed class SlubOf7_3ModelTests : SlabModel
{
    protected override string Implementation => "slub";

    protected override string Kernel => "7.3";
}
