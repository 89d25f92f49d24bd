namespace MemSim;

/// <content>Huge pages.</content>
public sealed partial class Machine
{
    private HugePages? _hugePages;

    /// <summary>Huge pages of processes.</summary>
    public HugePages HugePages => Volatile.Read(ref _hugePages) ?? MakeHugePages();

    internal HugePages? HugePagesIfUsed => Volatile.Read(ref _hugePages);

    private HugePages MakeHugePages()
    {
        HugePages made = new(this);
        return Interlocked.CompareExchange(ref _hugePages, made, null) ?? made;
    }
}
