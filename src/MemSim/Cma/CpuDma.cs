namespace MemSim;

/// <summary>Memory for devices. <see cref="Cpu.Dma"/>.</summary>
public sealed class CpuDma
{
    private readonly Cpu _cpu;

    internal CpuDma(Cpu cpu) => _cpu = cpu;

    /// <summary>The largest alignment a contiguous area gives, as an order (<c>CONFIG_CMA_ALIGNMENT</c>).</summary>
    private const int CmaAlignment = 8;

    /// <summary>Allocates zeroed, physically contiguous memory that a device reaches (<c>dma_alloc_coherent()</c>): from a contiguous memory area where the caller may sleep, else from the buddy allocator.</summary>
    /// <param name="device">The device; its address lines decide which memory will do.</param>
    /// <param name="bytes">The length.</param>
    /// <param name="gfp">The flags; zone flags are chosen by the device's limit.</param>
    /// <param name="area">The device's own area; null for the default one, which small requests do not touch.</param>
    /// <returns>The buffer, or a null one.</returns>
    public DmaBuffer AllocCoherent(DmaDevice device, long bytes, Gfp gfp = Gfp.Kernel, CmaArea? area = null)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentOutOfRangeException.ThrowIfLessThan(bytes, 1);
        _cpu.Machine.ThrowIfDisposed();
        if (!device.BelongsTo(_cpu.Machine))
        {
            throw new ArgumentException($"{device.Name} is plugged into another machine", nameof(device));
        }

        gfp &= ~(Gfp.Dma | Gfp.Dma32 | Gfp.HighMem | Gfp.Comp);
        Page first = TakeFromArea(device, bytes, gfp, ref area);
        if (first.IsNull)
        {
            first = TakeWithinReach(device, bytes, gfp);
        }

        if (first.IsNull)
        {
            return default;
        }

        DmaBuffer buffer = new(device, first, bytes, area);
        _cpu.Machine.Ram.Zero(first.Pfn.Value, buffer.Pages);
        return buffer;
    }

    /// <summary>Frees memory of <see cref="AllocCoherent"/> (<c>dma_free_coherent()</c>).</summary>
    /// <param name="buffer">The buffer; a null one is ignored.</param>
    /// <exception cref="KernelBugException">It was freed already.</exception>
    public void FreeCoherent(DmaBuffer buffer)
    {
        if (buffer.IsNull)
        {
            return;
        }

        if (buffer.Area is { } area)
        {
            _cpu.Machine.Cma.Free(_cpu, area, buffer.First, buffer.Pages);
        }
        else
        {
            _cpu.FreePages(buffer.First, OrderOf(buffer.Pages));
        }
    }

    private Page TakeFromArea(DmaDevice device, long bytes, Gfp gfp, ref CmaArea? area)
    {
        long pages = (bytes + PageGeometry.PageSize - 1) >> PageGeometry.PageShift;
        CmaArea? chosen = area ?? (pages > 1 && _cpu.Machine.Cma.Areas.Count != 0 ? _cpu.Machine.Cma.Areas[0] : null);
        area = null;
        if (chosen is null || (gfp & Gfp.DirectReclaim) == 0)
        {
            return default;
        }

        Page first = _cpu.Machine.Cma.Alloc(_cpu, chosen, pages, Math.Min(OrderOf(pages), CmaAlignment));
        if (!first.IsNull && !device.CanReach(first.PhysicalAddress, bytes))
        {
            _cpu.Machine.Cma.Free(_cpu, chosen, first, pages);
            return default;
        }

        area = first.IsNull ? null : chosen;
        return first;
    }

    /// <summary>From the buddy allocator: first from the zones that the device may reach, then from lower ones, until it does.</summary>
    private Page TakeWithinReach(DmaDevice device, long bytes, Gfp gfp)
    {
        int order = OrderOf((bytes + PageGeometry.PageSize - 1) >> PageGeometry.PageShift);
        if (order > PageGeometry.MaxOrder)
        {
            return default;
        }

        bool hasDma32 = _cpu.Machine.Architecture.IndexOf(ZoneType.Dma32) >= 0;
        Gfp zone = device.AddressBits <= 24 ? Gfp.Dma : device.AddressBits <= 32 && hasDma32 ? Gfp.Dma32 : Gfp.None;
        while (true)
        {
            Page page = _cpu.AllocPages(gfp | zone, order);
            if (page.IsNull || device.CanReach(page.PhysicalAddress, bytes))
            {
                return page;
            }

            _cpu.FreePages(page, order);
            if (zone == Gfp.Dma)
            {
                return default;
            }

            zone = zone == Gfp.None && hasDma32 && device.AddressBits < 64 ? Gfp.Dma32 : Gfp.Dma;
        }
    }

    private static int OrderOf(long pages) => pages <= 1 ? 0 : System.Numerics.BitOperations.Log2((ulong)pages - 1) + 1;
}

/// <content>Memory for devices (<c>dma_alloc_coherent()</c>).</content>
public sealed partial class Cpu
{
    /// <summary>Memory for devices (<c>dma_alloc_coherent()</c>).</summary>
    public CpuDma Dma { get; internal set; } = null!;
}
