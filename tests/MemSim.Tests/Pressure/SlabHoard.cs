using System.Runtime.InteropServices;

namespace MemSim.Tests.Pressure;

/// <summary>Objects of slab caches: some in use, some kept only as long as memory is plentiful.</summary>
internal sealed class SlabHoard : Shrinker
{
    private const int MaxObjects = 4000;
    private readonly KmemCache _used;
    private readonly KmemCache _kept;
    private readonly List<(VirtualAddress Object, int Stamp)> _objects = [];
    private readonly Queue<VirtualAddress> _keptObjects = new();
    private int _stamp;
    private bool _busy;

    public SlabHoard(Machine machine)
        : base("hoard")
    {
        _used = machine.Slab.CreateCache("pressure_used", 712);
        _kept = machine.Slab.CreateCache("pressure_kept", 1000, 0, SlabFlags.ReclaimAccount);
        machine.Reclaim.RegisterShrinker(this);
    }

    public long Shrunk { get; private set; }

    public int Kept => _keptObjects.Count;

    public void Step(Cpu cpu, Random random, Machine machine)
    {
        int what = random.Next(10);
        if (what < 4 && _objects.Count < MaxObjects)
        {
            VirtualAddress obj = cpu.Alloc(_used, Gfp.Kernel | Gfp.NoWarn);
            if (!obj.IsNull)
            {
                int stamp = ++_stamp;
                MemoryMarshal.Cast<byte, int>(cpu.Slab.Span(obj, 712)).Fill(stamp);
                _objects.Add((obj, stamp));
            }
        }
        else if (what < 7 && _objects.Count != 0)
        {
            int i = random.Next(_objects.Count);
            (VirtualAddress obj, int stamp) = _objects[i];
            _objects[i] = _objects[^1];
            _objects.RemoveAt(_objects.Count - 1);
            Release(cpu, obj, stamp);
        }
        else
        {
            for (int i = 0; i < 16; i++)
            {
                _busy = true;
                VirtualAddress obj = cpu.Alloc(_kept, Gfp.Kernel | Gfp.NoWarn);
                _busy = false;
                if (!obj.IsNull)
                {
                    _keptObjects.Enqueue(obj);
                }
            }
        }

        _ = machine;
    }

    public void Clear(Cpu cpu)
    {
        foreach ((VirtualAddress obj, int stamp) in _objects)
        {
            Release(cpu, obj, stamp);
        }

        _objects.Clear();
        while (_keptObjects.TryDequeue(out VirtualAddress obj))
        {
            cpu.Free(_kept, obj);
        }
    }

    protected override long CountObjects(in ShrinkRequest request) => _keptObjects.Count;

    protected override long ScanObjects(in ShrinkRequest request)
    {
        if (_busy && (request.Gfp & Gfp.Fs) == 0)
        {
            return Stop;
        }

        long freed = 0;
        while (freed < request.ToScan && _keptObjects.TryDequeue(out VirtualAddress obj))
        {
            request.Cpu.Free(_kept, obj);
            freed++;
        }

        Shrunk += freed;
        return freed;
    }

    private void Release(Cpu cpu, VirtualAddress obj, int stamp)
    {
        if (MemoryMarshal.Cast<byte, int>(cpu.Slab.Span(obj, 712)).ContainsAnyExcept(stamp))
        {
            throw new InvalidOperationException($"object {obj} was overwritten");
        }

        cpu.Free(_used, obj);
    }
}
