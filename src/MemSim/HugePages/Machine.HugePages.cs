namespace MemSim;

/// <content>Huge pages.</content>
public sealed partial class Machine
{
    private HugePageSettings? _hugePages;

    /// <summary>Huge pages of processes.</summary>
    public HugePageSettings HugePages => Volatile.Read(ref _hugePages) ?? MakeHugePages();

    internal HugePageSettings? HugePagesIfUsed => Volatile.Read(ref _hugePages);

    private HugePageSettings MakeHugePages()
    {
        HugePageSettings made = new(this);
        return Interlocked.CompareExchange(ref _hugePages, made, null) ?? made;
    }
}
