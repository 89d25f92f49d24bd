namespace MemSim;

/// <summary>A device that reads and writes memory by physical address, past every MMU and TLB, up to a limit of its address lines.</summary>
/// <remarks>The ISA bus has 24 address lines (16 MiB), many PCI devices 32. Data beyond a device's reach goes through a bounce buffer that it can reach.</remarks>
public sealed class DmaDevice
{
    private readonly Machine _machine;

    internal DmaDevice(Machine machine, string name, int addressBits)
    {
        _machine = machine;
        Name = name;
        AddressBits = addressBits;
    }

    /// <summary>The device's name.</summary>
    public string Name { get; }

    /// <summary>Address bits it has (<c>dma_set_mask()</c>).</summary>
    public int AddressBits { get; }

    /// <summary>The last physical address it reaches.</summary>
    public PhysicalAddress Limit => new(AddressBits == 64 ? ulong.MaxValue : (1UL << AddressBits) - 1);

    /// <summary>Transfers that had to go through a bounce buffer.</summary>
    public long BouncedTransfers { get; private set; }

    /// <summary>Bytes copied between bounce buffers and their targets.</summary>
    public long BouncedBytes { get; private set; }

    /// <summary>Whether the device reaches a range (<c>dma_capable()</c>).</summary>
    /// <param name="address">The first address.</param>
    /// <param name="bytes">The length.</param>
    public bool CanReach(PhysicalAddress address, long bytes) =>
        bytes >= 0 && address.Value <= Limit.Value && (bytes == 0 || (ulong)bytes - 1 <= Limit.Value - address.Value);

    /// <summary>The device writes to memory.</summary>
    /// <param name="address">The first address.</param>
    /// <param name="data">The data.</param>
    /// <exception cref="KernelBugException">The device does not reach the range, or part of it is no memory; nothing was written.</exception>
    public void Write(PhysicalAddress address, ReadOnlySpan<byte> data)
    {
        Check(address, data.Length);
        data.CopyTo(_machine.Ram.Range(address.Value, data.Length));
    }

    /// <summary>The device reads from memory.</summary>
    /// <param name="address">The first address.</param>
    /// <param name="into">Receives the data.</param>
    /// <exception cref="KernelBugException">The device does not reach the range, or part of it is no memory.</exception>
    public void Read(PhysicalAddress address, Span<byte> into)
    {
        Check(address, into.Length);
        _machine.Ram.ReadOnly(address.Value, into.Length).CopyTo(into);
    }

    /// <summary>The device writes to memory; what it cannot reach goes through a bounce buffer, from which the CPU copies.</summary>
    /// <param name="address">The first address.</param>
    /// <param name="data">The data, at most as long as the buffer when it bounces.</param>
    /// <param name="bounce">A buffer within the device's reach, such as pages of <see cref="Gfp.Dma"/>.</param>
    /// <param name="bounceBytes">Its length.</param>
    /// <returns>Whether it bounced.</returns>
    /// <exception cref="KernelBugException">The buffer is out of reach or too small, or part of a range is no memory.</exception>
    public bool WriteBounced(PhysicalAddress address, ReadOnlySpan<byte> data, PhysicalAddress bounce, long bounceBytes)
    {
        if (CanReach(address, data.Length))
        {
            Write(address, data);
            return false;
        }

        CheckBounce(data.Length, bounceBytes);
        CheckMemory(address, data.Length);
        Write(bounce, data);
        _machine.Ram.ReadOnly(bounce.Value, data.Length).CopyTo(_machine.Ram.Range(address.Value, data.Length));
        Count(data.Length);
        return true;
    }

    /// <summary>The device reads from memory; what it cannot reach the CPU first copies to a bounce buffer.</summary>
    /// <param name="address">The first address.</param>
    /// <param name="into">Receives the data.</param>
    /// <param name="bounce">A buffer within the device's reach.</param>
    /// <param name="bounceBytes">Its length.</param>
    /// <returns>Whether it bounced.</returns>
    /// <exception cref="KernelBugException">The buffer is out of reach or too small, or part of a range is no memory.</exception>
    public bool ReadBounced(PhysicalAddress address, Span<byte> into, PhysicalAddress bounce, long bounceBytes)
    {
        if (CanReach(address, into.Length))
        {
            Read(address, into);
            return false;
        }

        CheckBounce(into.Length, bounceBytes);
        CheckMemory(address, into.Length);
        Check(bounce, into.Length);
        _machine.Ram.ReadOnly(address.Value, into.Length).CopyTo(_machine.Ram.Range(bounce.Value, into.Length));
        Read(bounce, into);
        Count(into.Length);
        return true;
    }

    internal bool BelongsTo(Machine machine) => ReferenceEquals(_machine, machine);

    private void Count(int bytes)
    {
        BouncedTransfers++;
        BouncedBytes += bytes;
    }

    private void CheckBounce(int bytes, long bounceBytes)
    {
        if (bytes > bounceBytes)
        {
            throw new KernelBugException(KernelBugKind.ForeignAddress, $"{Name}: swiotlb buffer is full (sz: {bytes} bytes), total {bounceBytes}", "The bounce buffer is smaller than the transfer.\n");
        }
    }

    private void Check(PhysicalAddress address, int bytes)
    {
        _machine.ThrowIfDisposed();
        if (!CanReach(address, bytes))
        {
            throw new KernelBugException(KernelBugKind.ForeignAddress, $"{Name}: overflow {address}+{bytes} of DMA mask {Limit}", "The device has too few address lines for this memory: allocate with GFP_DMA or GFP_DMA32, or use a bounce buffer.\n");
        }

        CheckMemory(address, bytes);
    }

    private void CheckMemory(PhysicalAddress address, int bytes)
    {
        long last = bytes == 0 ? 0 : (bytes - 1 + (long)(address.Value & (PageGeometry.PageSize - 1))) >> PageGeometry.PageShift;
        for (long page = 0; page <= last; page++)
        {
            Pfn pfn = address.Pfn + page;
            if (!_machine.TryGetPage(pfn, out _))
            {
                throw new KernelBugException(KernelBugKind.ForeignAddress, $"{Name}: DMA to {address}+{bytes}: no memory at pfn {pfn}", "Nothing answers on the bus.\n");
            }
        }
    }
}

/// <content>DMA.</content>
public sealed partial class Machine
{
}
