using System.Globalization;

namespace MemSim.Soak;

/// <summary>
/// Pages, objects and vmalloc areas by the billion on one machine, against a model that costs nanoseconds: a byte for each frame says whether somebody has it, a stamp in each object and page says
/// whose it is. How much is alive at once changes every 65,536 operations, from a handful to more than there is.
/// </summary>
internal sealed class LongRun : IDisposable
{
    private const long Verifications = 1 << 26;
    private const int Phase = 1 << 16;
    private const byte Head = 1;
    private const byte Tail = 2;
    private static readonly string[] Kernels = ["6.1", "6.12", "6.18", "7.0", "7.3"];
    private static readonly Gfp[] PageFlags = [Gfp.Kernel, Gfp.HighUser | Gfp.Movable, Gfp.Kernel | Gfp.Reclaimable, Gfp.Atomic, Gfp.Kernel | Gfp.Comp, Gfp.NoWait];
    private static readonly long[] ByteSizes = [8, 24, 64, 96, 192, 256, 500, 1000, 2000, 4096, 8192, 20_000];

    private readonly Machine _machine;
    private readonly byte[] _frames;
    private readonly KmemCache?[] _caches;
    private readonly Thing[] _things = new Thing[1 << 18];
    private int _alive;
    private long _pagesAlive;
    private long _target;
    private ulong _random;
    private long _stamp;

    public LongRun(ulong seed)
    {
        _random = (seed * 0x9e37_79b9_7f4a_7c15) | 1;
        Architecture architecture = Soaks.ArchitectureOf(seed % 5);
        string kernel = architecture == Architecture.X86_64 ? Kernels[seed / 5 % (ulong)Kernels.Length] : "6.1";
        MachineSpec spec = MachineSpec.Preset(architecture, architecture == Architecture.X86_32 ? "1G" : Soaks.Memory((seed % 3) switch { 0 => kernel is "6.1" or "6.12" ? "64M" : "96M", 1 => "256M", _ => "1G" }), 2).WithKernel(kernel);
        _machine = Machine.Boot(seed % 7 == 6 && kernel == "6.1" ? spec.WithCommandLine("slab_allocator=slab") : spec);
        _frames = new byte[_machine.Zones.Max(zone => zone.EndPfn.Value)];
        _caches = [null, null, null, _machine.Slab.CreateCache("long-40", 40, new KmemCacheArgs(), SlabFlags.None), _machine.Slab.CreateCache("long-256", 256, new KmemCacheArgs(), SlabFlags.HwCacheAlign), _machine.Slab.CreateCache("long-1500", 1500, new KmemCacheArgs(), SlabFlags.ReclaimAccount)];
        Name = $"{architecture} {kernel} {_machine.Proc.MemInfo.Split('\n')[0]}";
    }

    /// <summary>What machine it is.</summary>
    public string Name { get; }

    public long Operations { get; private set; }

    public long Refused { get; private set; }

    public long Verified { get; private set; }

    /// <summary>The most blocks, objects and areas that were alive at once.</summary>
    public int MostAlive { get; private set; }

    /// <summary>The operation at which what is alive is overwritten behind the model's back, for the test of the test; negative for never.</summary>
    public long SpoilsAt { get; init; } = -1;

    public void Dispose() => _machine.Dispose();

    /// <summary>Runs so many operations, then gives all back and looks whether it is back.</summary>
    /// <exception cref="InvalidOperationException">The machine did not do what the model does.</exception>
    public void Run(long operations)
    {
        long pages = _machine.Zones.Sum(zone => zone.TrueFreePages);
        for (long done = 0; done < operations; done++)
        {
            if (done % Phase == 0)
            {
                _target = Math.Min(_things.Length - 1, (1L << (int)(Next() % 18)) + 8);
                if (done % Verifications == 0)
                {
                    Verify();
                }
            }

            Cpu cpu = _machine.Cpus[(int)(done >> 12) & 1];
            if (done == SpoilsAt)
            {
                Spoil(cpu);
            }

            ulong dice = Next();
            bool more = _alive < _target && _pagesAlive < pages;

            // Two of three steps go toward how much shall be alive, one the other way.
            if (_alive == 0 || (dice % 3 == 0 ? !more : more) && _alive < _things.Length - 1)
            {
                Take(cpu, dice >> 8);
            }
            else
            {
                Give(cpu, (int)((dice >> 8) % (uint)_alive));
            }
        }

        Operations += operations;
        while (_alive != 0)
        {
            Give(_machine.Cpus[0], _alive - 1);
        }

        foreach (KmemCache? cache in _caches)
        {
            _ = cache is null || _machine.Slab.ShrinkCache(cache, _machine.Cpus[0]) >= 0;
        }

        Verify();
        Require(_frames.AsSpan().IndexOfAnyExcept((byte)0) < 0, "the model has pages left");
    }

    private void Spoil(Cpu cpu)
    {
        for (int i = 0; i < _alive; i++)
        {
            if (_things[i].Address != default)
            {
                cpu.Write(_things[i].Address, -1L);
                return;
            }
        }
    }

    private void Verify()
    {
        Verified++;
        _machine.Verify();
    }

    private void Take(Cpu cpu, ulong dice)
    {
        int kind = (int)(dice & 0xff);
        dice >>= 8;
        Thing thing = kind switch
        {
            < 128 => TakePages(cpu, dice),
            < 254 => TakeObject(cpu, dice),
            _ => TakeArea(cpu, dice),
        };
        if (thing.Order == Thing.Refused)
        {
            Refused++;
            return;
        }

        _things[_alive++] = thing;
        MostAlive = Math.Max(MostAlive, _alive);
    }

    private Thing TakePages(Cpu cpu, ulong dice)
    {
        int order = (int)(dice & 127) switch { < 96 => 0, < 110 => 1, < 118 => 2, < 123 => 3, 123 => 4, 124 => 5, 125 => 7, 126 => 9, _ => 10 };
        Page page = cpu.AllocPages(PageFlags[(dice >> 8) % (uint)PageFlags.Length] | Gfp.NoWarn, order);
        if (page.IsNull)
        {
            return default(Thing) with { Order = Thing.Refused };
        }

        long pfn = page.Pfn.Value;
        Span<byte> frames = _frames.AsSpan((int)pfn, 1 << order);
        Require((pfn & ((1L << order) - 1)) == 0, $"{page} of order {order} is not aligned");
        Require(frames.IndexOfAnyExcept((byte)0) < 0, $"{page} of order {order} was handed out though somebody has a part of it");
        frames.Fill(Tail);
        frames[0] = Head;
        _pagesAlive += 1 << order;
        return new Thing(page, default, 0, order);
    }

    private Thing TakeObject(Cpu cpu, ulong dice)
    {
        int which = (int)(dice % (uint)_caches.Length);
        dice >>= 8;
        KmemCache? cache = _caches[which];
        VirtualAddress at = cache is null ? cpu.Kmalloc(ByteSizes[dice % (uint)ByteSizes.Length], (dice & 1) == 0 ? Gfp.Kernel | Gfp.NoWarn : Gfp.Atomic | Gfp.NoWarn) : cpu.Alloc(cache, Gfp.Kernel | Gfp.NoWarn);
        if (at == default)
        {
            return default(Thing) with { Order = Thing.Refused };
        }

        long stamp = ++_stamp;
        cpu.Write(at, stamp);
        return new Thing(default, at, stamp, cache is null ? Thing.Bytes : -which);
    }

    private Thing TakeArea(Cpu cpu, ulong dice)
    {
        VirtualAddress at = cpu.Vmalloc((long)(1 + (dice % 12)) << PageGeometry.PageShift);
        if (at == default)
        {
            return default(Thing) with { Order = Thing.Refused };
        }

        long stamp = ++_stamp;
        cpu.Write(at, stamp);
        return new Thing(default, at, stamp, Thing.Area);
    }

    private void Give(Cpu cpu, int number)
    {
        Thing thing = _things[number];
        _things[number] = _things[--_alive];
        if (thing.Order is >= 0 and < 32)
        {
            Span<byte> frames = _frames.AsSpan((int)thing.Page.Pfn.Value, 1 << thing.Order);
            Require(frames[0] == Head, "the model lost a page");
            frames.Clear();
            _pagesAlive -= 1 << thing.Order;
            cpu.FreePages(thing.Page, thing.Order);
            return;
        }

        Require(cpu.Read<long>(thing.Address) == thing.Stamp, $"what lies at {thing.Address} was overwritten, or is somebody else's too");
        switch (thing.Order)
        {
            case Thing.Bytes:
                cpu.Kfree(thing.Address);
                break;
            case Thing.Area:
                cpu.Vfree(thing.Address);
                break;
            default:
                cpu.Free(_caches[-thing.Order]!, thing.Address);
                break;
        }
    }

    private ulong Next()
    {
        _random ^= _random << 13;
        _random ^= _random >> 7;
        _random ^= _random << 17;
        return _random * 0x2545_f491_4f6c_dd1d >> 8;
    }

    private void Require(bool holds, [System.Runtime.CompilerServices.InterpolatedStringHandlerArgument("holds")] ref Why why)
    {
        if (!holds)
        {
            throw new InvalidOperationException($"{Name}, {Operations} operations and more: {why.ToString()}");
        }
    }

    private void Require(bool holds, string why)
    {
        if (!holds)
        {
            throw new InvalidOperationException($"{Name}, {Operations} operations and more: {why}");
        }
    }

    /// <summary>What is alive: a block by its order, or what lies at an address.</summary>
    private readonly record struct Thing(Page Page, VirtualAddress Address, long Stamp, int Order)
    {
        /// <summary>Nothing was given.</summary>
        public const int Refused = int.MinValue;

        /// <summary>From kmalloc.</summary>
        public const int Bytes = 100;

        /// <summary>From vmalloc.</summary>
        public const int Area = 101;
    }

    /// <summary>A reason that is put together only when it is needed.</summary>
    [System.Runtime.CompilerServices.InterpolatedStringHandler]
    internal readonly ref struct Why
    {
        private readonly System.Text.StringBuilder? _text;

        public Why(int literals, int holes, bool holds, out bool needed)
        {
            needed = !holds;
            _text = holds ? null : new System.Text.StringBuilder(literals + (16 * holes));
        }

        public void AppendLiteral(string text) => _text!.Append(text);

        public void AppendFormatted<T>(T value) => _text!.Append(CultureInfo.InvariantCulture, $"{value}");

        public override string ToString() => _text?.ToString() ?? "";
    }
}
