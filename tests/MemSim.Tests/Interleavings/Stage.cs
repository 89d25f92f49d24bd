using FluentAssertions;
using MemSim.Hardware;

namespace MemSim.Tests.Interleavings;

/// <summary>A few operations on each of a few CPUs.</summary>
/// <param name="Name">What meets what.</param>
/// <param name="Cpus">CPUs that run.</param>
/// <param name="Make">Boots a machine and makes everything ready, the same each time.</param>
internal sealed record Scenario(string Name, int Cpus, Func<IInterleaver, Stage> Make)
{
    public override string ToString() => Name;
}

/// <summary>A machine that is ready, what its CPUs do, and what must have come out.</summary>
internal sealed class Stage(Machine machine, IReadOnlyList<Action> cpus, Action check, params IDisposable[] devices) : IDisposable
{
    public Machine Machine => machine;

    public IReadOnlyList<Action> Cpus => cpus;

    /// <summary>Gives everything back and compares with what must have come out.</summary>
    public void Check() => check();

    public void Dispose()
    {
        machine.Dispose();
        Array.ForEach(devices, device => device.Dispose());
    }
}

/// <summary>Who has which page: no page is handed out twice, and each is as it was left when it is given back.</summary>
internal sealed class PageHolders(Machine machine)
{
    private readonly HashSet<long> _taken = [];
    private readonly List<(Page Page, int Order)> _live = [];

    public Page Take(Cpu cpu, int order, Gfp gfp = Gfp.HighUserMovable)
    {
        Page page = cpu.AllocPages(gfp | Gfp.NoWarn, order);
        page.IsNull.Should().BeFalse("there is enough memory");
        for (long pfn = page.Pfn.Value; pfn < page.Pfn.Value + (1L << order); pfn++)
        {
            if (!_taken.Add(pfn))
            {
                throw new InvalidOperationException($"page {pfn:x} is handed out twice");
            }
        }

        _live.Add((page, order));
        return page;
    }

    public void Give(Cpu cpu, Page page)
    {
        int at = _live.FindIndex(p => p.Page == page);
        int order = _live[at].Order;
        _live.RemoveAt(at);
        for (long pfn = page.Pfn.Value; pfn < page.Pfn.Value + (1L << order); pfn++)
        {
            _taken.Remove(pfn);
        }

        cpu.FreePages(page, order);
    }

    public void GiveAll()
    {
        while (_live.Count != 0)
        {
            Give(machine.Cpus[0], _live[^1].Page);
        }

        machine.Memory.DrainAllPages();
    }
}

/// <summary>Which objects are out: none is handed out twice.</summary>
internal sealed class ObjectHolders(Machine machine, KmemCache cache)
{
    private readonly HashSet<ulong> _live = [];

    public VirtualAddress Take(Cpu cpu)
    {
        VirtualAddress made = cpu.Alloc(cache, Gfp.Kernel);
        made.IsNull.Should().BeFalse("there is enough memory");
        if (!_live.Add(made.Value))
        {
            throw new InvalidOperationException($"object {made} is handed out twice");
        }

        return made;
    }

    public void Give(Cpu cpu, VirtualAddress obj)
    {
        _live.Remove(obj.Value);
        cpu.Free(cache, obj);
    }

    /// <summary>Frees all, and destroys the cache: it must have no object and no slab then.</summary>
    public void GiveAll()
    {
        machine.Verify();
        foreach (ulong obj in _live)
        {
            machine.Cpus[0].Free(cache, new VirtualAddress(obj));
        }

        _live.Clear();
        machine.Cpus.Min(cpu => machine.Slab.ShrinkCache(cache, cpu)).Should().Be(0, "every object was given back");
        machine.Slab.DestroyCache(cache).Should().BeTrue();
    }
}
