namespace MemSim.Swap;

/// <summary>Swap on a simulated disk. The device stays its owner's: switching the area off does not close it.</summary>
internal sealed class DeviceSwapBacking(BlockDevice device) : ISwapBacking
{
    public BlockDevice Device => device;

    public string Name => device.Name;

    public bool IsFile => false;

    public long Pages => device.CapacityPages;

    public bool IsSolidState => device.Costs.SeekNanoseconds == 0;

    public bool IsSynchronous => device.Costs == BlockDeviceCosts.Memory;

    public bool HoldsWrites => device.HoldsWrites;

    public Errno Check() => device.IsGone ? Errno.EIO : device.IsReadOnly ? Errno.EROFS : Errno.None;

    public Errno Read(Cpu cpu, long slot, int pfn) =>
        device.Read(cpu, slot, new ReadOnlySpan<int>(in pfn), waits: true);

    public Errno Write(Cpu cpu, long slot, int pfn) =>
        device.Write(cpu, slot, new ReadOnlySpan<int>(in pfn), waits: IsSynchronous);

    public bool KeepsSlotsInMemory => device.TakesMemory;

    public void SlotFreed(Cpu cpu, long slot) => device.SlotFreed(cpu, slot);

    public void Discard(long slot, long count) => device.Discard(slot, count);

    public void Dispose()
    {
    }
}
