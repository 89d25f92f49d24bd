namespace MemSim;

/// <content>Huge pages.</content>
public sealed partial class Machine
{
    private HugePages? _hugePages;

    /// <summary>Huge pages of processes.</summary>
    public HugePages HugePages => Volatile.Read(ref _hugePages) ?? MakeHugePages();

    private HugePages MakeHugePages()
    {
        // Without a word on the command line processes must ask: counts of faults do not depend on where areas happen to lie then.
        HugePages made = new(this, Settings.HugePagesOfCommandLine ?? TransparentHugePages.Madvise);
        return Interlocked.CompareExchange(ref _hugePages, made, null) ?? made;
    }
}
