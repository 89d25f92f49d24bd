namespace MemSim;

/// <summary>Memory that a device and the CPU both use at the same time.</summary>
/// <param name="Device">The device it was allocated for.</param>
/// <param name="First">Its first page.</param>
/// <param name="Bytes">The length asked for.</param>
/// <param name="Area">The contiguous memory area it came from; null for the buddy allocator.</param>
public readonly record struct DmaBuffer(DmaDevice Device, Page First, long Bytes, CmaArea? Area)
{
    /// <summary>Whether the allocation failed.</summary>
    public bool IsNull => First.IsNull;

    /// <summary>The address the device uses.</summary>
    public PhysicalAddress DmaAddress => First.PhysicalAddress;

    /// <summary>The address the CPU uses, in the direct map; null for high memory.</summary>
    public VirtualAddress Address => First.Address;

    /// <summary>Pages it takes.</summary>
    public long Pages => (Bytes + PageGeometry.PageSize - 1) >> PageGeometry.PageShift;

    /// <summary>What it is, where and for whom.</summary>
    public override string ToString() => IsNull ? "null" : $"{Bytes} bytes at {First} for {Device.Name}";
}

/// <content>Memory for devices.</content>
public sealed partial class Cpu
{
    /// <summary>The largest alignment a contiguous area gives, as an order (<c>CONFIG_CMA_ALIGNMENT</c>).</summary>
    private const int CmaAlignment = 8;

    /// <summary>Allocates zeroed, physically contiguous memory that a device reaches (<c>dma_alloc_coherent()</c>): from a contiguous memory area where the caller may sleep, else from the buddy allocator.</summary>
    /// <param name="device">The device; its address lines decide which memory will do.</param>
    /// <param name="bytes">The length.</param>
    /// <param name="gfp">The flags; zone flags are chosen by the device's limit.</param>
    /// <param name="area">The device's own area; null for the default one, which small requests do not touch.</param>
    /// <returns>The buffer, or a null one.</returns>
    public DmaBuffer DmaAllocCoherent(DmaDevice device, long bytes, Gfp gfp = Gfp.Kernel, CmaArea? area = null)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentOutOfRangeException.ThrowIfLessThan(bytes, 1);
        Machine.ThrowIfDisposed();
        if (!device.BelongsTo(Machine))
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
        Machine.Memory.Zero(first.Pfn.Value, buffer.Pages);
        return buffer;
    }

    /// <summary>Frees memory of <see cref="DmaAllocCoherent"/> (<c>dma_free_coherent()</c>).</summary>
    /// <param name="buffer">The buffer; a null one is ignored.</param>
    /// <exception cref="KernelBugException">It was freed already.</exception>
    public void DmaFreeCoherent(DmaBuffer buffer)
    {
        if (buffer.IsNull)
        {
            return;
        }

        if (buffer.Area is { } area)
        {
            Machine.CmaRelease(this, area, buffer.First, buffer.Pages);
        }
        else
        {
            FreePages(buffer.First, OrderOf(buffer.Pages));
        }
    }

    private Page TakeFromArea(DmaDevice device, long bytes, Gfp gfp, ref CmaArea? area)
    {
        long pages = (bytes + PageGeometry.PageSize - 1) >> PageGeometry.PageShift;
        CmaArea? chosen = area ?? (pages > 1 && Machine.CmaAreas.Count != 0 ? Machine.CmaAreas[0] : null);
        area = null;
        if (chosen is null || (gfp & Gfp.DirectReclaim) == 0)
        {
            return default;
        }

        Page first = Machine.CmaAlloc(this, chosen, pages, Math.Min(OrderOf(pages), CmaAlignment));
        if (!first.IsNull && !device.CanReach(first.PhysicalAddress, bytes))
        {
            Machine.CmaRelease(this, chosen, first, pages);
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

        bool hasDma32 = Machine.Architecture.IndexOf(ZoneType.Dma32) >= 0;
        Gfp zone = device.AddressBits <= 24 ? Gfp.Dma : device.AddressBits <= 32 && hasDma32 ? Gfp.Dma32 : Gfp.None;
        while (true)
        {
            Page page = AllocPages(gfp | zone, order);
            if (page.IsNull || device.CanReach(page.PhysicalAddress, bytes))
            {
                return page;
            }

            FreePages(page, order);
            if (zone == Gfp.Dma)
            {
                return default;
            }

            zone = zone == Gfp.None && hasDma32 && device.AddressBits < 64 ? Gfp.Dma32 : Gfp.Dma;
        }
    }

    private static int OrderOf(long pages) => pages <= 1 ? 0 : System.Numerics.BitOperations.Log2((ulong)pages - 1) + 1;
}
