using MemSim.Cgroups;

namespace MemSim;

/// <summary>A memory control group: processes whose memory is counted, limited and protected together (<c>struct mem_cgroup</c>, cgroup v2).</summary>
/// <remarks>
/// Its files are read and written by name, in the kernel's text: <c>cgroup["memory.max"] = "64M"</c>. What was charged stays charged until it is freed, whoever
/// moves, and however soon the cgroup is removed. Figures of <c>memory.stat</c> that say how many pages there are of a kind are counted when they are read.
/// </remarks>
public sealed partial class Cgroup
{
    private readonly List<Cgroup> _children = [];
    private readonly long[] _events = new long[(int)CgroupEvent.Count];
    private readonly long[] _localEvents = new long[(int)CgroupEvent.Count];
    private readonly long[] _stats = new long[(int)CgroupStat.Count];

    /// <summary>Its own; null for the root, whose is the machine's.</summary>
    private readonly PressureStall? _pressure;

    internal Cgroup(CgroupTree tree, Cgroup? parent, string name, int id)
    {
        Tree = tree;
        Parent = parent;
        Name = name;
        Id = id;
        Memory = new PageCounter(parent?.Memory);
        Swap = new PageCounter(parent?.Swap);
        PressureLevels = new PressureLevels(parent?.PressureLevels);
        _pressure = parent is null ? null : new PressureStall(tree.Machine.Clock, time => tree.Machine.Pressure.Advance(time));
    }

    /// <summary>Its directory's name; empty for the root.</summary>
    public string Name { get; }

    /// <summary>The cgroup above; null for the root.</summary>
    public Cgroup? Parent { get; }

    /// <summary>The cgroups below, in the order they were made, without those that were removed.</summary>
    public IReadOnlyList<Cgroup> Children => _children;

    /// <summary>Whether it was removed; pages may still be charged to it.</summary>
    public bool IsRemoved { get; private set; }

    /// <summary>Where it is, as in <c>/proc/PID/cgroup</c>: <c>/</c> is the root.</summary>
    public string Path => Parent is null ? "/" : Parent.Parent is null ? "/" + Name : Parent.Path + "/" + Name;

    /// <summary>Memory charged to it and those below, in bytes (<c>memory.current</c>): part of it may still be in the CPUs' stocks.</summary>
    public long CurrentBytes => Memory.Usage << PageGeometry.PageShift;

    /// <summary>The most that was ever charged, in bytes (<c>memory.peak</c>).</summary>
    public long PeakBytes => Memory.Peak << PageGeometry.PageShift;

    /// <summary>Swap charged to it and those below, in bytes (<c>memory.swap.current</c>).</summary>
    public long SwapBytes => Swap.Usage << PageGeometry.PageShift;

    /// <summary>The limit in bytes (<c>memory.max</c>); <see cref="long.MaxValue"/> is none. Setting it reclaims, and kills if need be.</summary>
    public long MaxBytes
    {
        get => BytesOf(Memory.Max);
        set => SetMax(PagesOf(value));
    }

    /// <summary>Above this many bytes whoever charges more reclaims first, and is slowed (<c>memory.high</c>).</summary>
    public long HighBytes
    {
        get => BytesOf(Memory.High);
        set => SetHigh(PagesOf(value));
    }

    /// <summary>Memory that reclaim leaves alone while it finds other (<c>memory.low</c>), in bytes.</summary>
    public long LowBytes
    {
        get => BytesOf(LowPages);
        set => LowPages = PagesOf(value);
    }

    /// <summary>Memory that reclaim never takes (<c>memory.min</c>), in bytes.</summary>
    public long MinBytes
    {
        get => BytesOf(MinPages);
        set => MinPages = PagesOf(value);
    }

    /// <summary>The limit of swap in bytes (<c>memory.swap.max</c>); <see cref="long.MaxValue"/> is none.</summary>
    public long SwapMaxBytes
    {
        get => BytesOf(Swap.Max);
        set => Swap.Max = PagesOf(value);
    }

    /// <summary>Whether the OOM killer takes all processes of it together (<c>memory.oom.group</c>).</summary>
    public bool OomGroup { get; set; }

    /// <summary>The time its processes lost because memory was short (<c>memory.pressure</c>).</summary>
    public PressureStall Pressure => _pressure ?? Tree.Machine.Pressure;

    /// <summary>How well reclaim of its memory goes (version 1's <c>memory.pressure_level</c>).</summary>
    public PressureLevels PressureLevels { get; }

    /// <summary>A file by its name, as the kernel prints it and takes it.</summary>
    /// <param name="file">A name such as <c>memory.max</c>, <c>memory.stat</c>, <c>cgroup.procs</c>.</param>
    /// <exception cref="ArgumentException">There is no such file, or it does not take what is written (EINVAL and its like: <see cref="Write"/> returns the error).</exception>
    public string this[string file]
    {
        get => CgroupFiles.Read(this, file) ?? throw new ArgumentException($"{Path} has no file {file}", nameof(file));
        set
        {
            Errno error = Write(file, value);
            if (error is not (Errno.None or Errno.EAGAIN))
            {
                throw new ArgumentException($"{Path}/{file} does not take \"{value}\": {error}", nameof(value));
            }
        }
    }

    /// <summary>Writes a file as a shell would.</summary>
    /// <param name="file">Its name.</param>
    /// <param name="text">What is written; white space around it does not matter.</param>
    /// <param name="on">The CPU that does it; null for the first.</param>
    /// <returns>The kernel's error: ENOENT, EINVAL, EAGAIN (<c>memory.reclaim</c> found too little), ESRCH, EBUSY.</returns>
    public Errno Write(string file, string text, Cpu? on = null)
    {
        ArgumentNullException.ThrowIfNull(file);
        ArgumentNullException.ThrowIfNull(text);
        return CgroupFiles.Write(this, file, text, Tree.Machine.CpuTable.Own(on));
    }

    /// <summary>The path.</summary>
    public override string ToString() => Path;

    internal CgroupTree Tree { get; }

    /// <summary>Its number: frames and swap slots name it by that.</summary>
    internal int Id { get; }

    internal bool IsRoot => Parent is null;

    internal PageCounter Memory { get; }

    internal PageCounter Swap { get; }

    internal long MinPages { get; set; }

    internal long LowPages { get; set; }

    /// <summary>Kernel pages among those charged to it itself.</summary>
    internal long KernelPages { get; set; }

    /// <summary>Frames that name it: what keeps a removed cgroup in being.</summary>
    internal long ChargedFrames { get; set; }

    /// <summary>Swap slots that name it.</summary>
    internal long ChargedSlots { get; set; }

    /// <summary>Bytes of slab objects charged to it itself, those of caches that shrinkers free.</summary>
    internal long ReclaimableSlabBytes { get; set; }

    /// <summary>Bytes of other slab objects charged to it itself.</summary>
    internal long UnreclaimableSlabBytes { get; set; }

    /// <summary>Bytes of compressed pages charged to it itself.</summary>
    internal long CompressedBytes { get; set; }

    /// <summary>Those pages.</summary>
    internal long CompressedPages { get; set; }

    /// <summary>Those of them that did not compress.</summary>
    internal long IncompressiblePages { get; set; }

    /// <summary>The limit of compressed bytes here and below, in pages (<c>memory.zswap.max</c>).</summary>
    internal long ZswapMax { get; set; } = PageCounter.Unlimited;

    /// <summary>Whether pages that zswap does not keep may go to the disk (<c>memory.zswap.writeback</c>).</summary>
    internal bool ZswapWriteback { get; set; } = true;

    /// <summary>Pages charged for objects of slabs and for compressed pages.</summary>
    internal long SlabPages { get; set; }

    /// <summary>Bytes of charged pages for objects that no CPU has in its stock.</summary>
    internal long LooseBytes { get; set; }

    /// <summary>Cgroups below that were removed and still have charges.</summary>
    internal int Dying { get; private set; }

    /// <summary>What protects it from the reclaim under way (<c>emin</c>), in pages.</summary>
    internal long EffectiveMin { get; set; }

    /// <summary>The same of <c>memory.low</c> (<c>elow</c>).</summary>
    internal long EffectiveLow { get; set; }

    /// <summary>How often something happened here and below.</summary>
    internal long EventsOf(CgroupEvent e) => _events[(int)e];

    /// <summary>How often something happened here.</summary>
    internal long LocalEventsOf(CgroupEvent e) => _localEvents[(int)e];

    /// <summary>Counts an event here and in all cgroups above but the root (<c>memcg_memory_event()</c>).</summary>
    internal void Raise(CgroupEvent e)
    {
        _localEvents[(int)e]++;
        for (Cgroup? cgroup = this; cgroup is { IsRoot: false }; cgroup = cgroup.Parent)
        {
            cgroup._events[(int)e]++;
        }
    }

    /// <summary>Counts for <c>memory.stat</c>.</summary>
    internal void Count(CgroupStat stat, long count) => _stats[(int)stat] += count;

    /// <summary>What <c>memory.stat</c> counts here and below.</summary>
    internal long StatOf(CgroupStat stat)
    {
        long sum = _stats[(int)stat];
        foreach (Cgroup child in Below)
        {
            sum += child.StatOf(stat);
        }

        return sum;
    }

    /// <summary>Bytes of compressed pages here and below (<c>memory.zswap.current</c>).</summary>
    internal long CompressedBytesBelow
    {
        get
        {
            long sum = CompressedBytes;
            foreach (Cgroup child in Below)
            {
                sum += child.CompressedBytesBelow;
            }

            return sum;
        }
    }

    /// <summary>The cgroups right below, those that were removed but live on included.</summary>
    internal List<Cgroup> Below { get; } = [];

    /// <summary>Whether another one is it or above it.</summary>
    internal bool IsBelow(Cgroup top)
    {
        for (Cgroup? cgroup = this; cgroup is not null; cgroup = cgroup.Parent)
        {
            if (ReferenceEquals(cgroup, top))
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The processes in it.</summary>
    internal IEnumerable<Process> Members => Tree.Machine.Processes.Where(process => process.CgroupId == Id);

    internal void AddChild(Cgroup child)
    {
        _children.Add(child);
        Below.Add(child);
    }

    /// <summary>It was removed: from now on it only waits for its charges to go.</summary>
    internal void GoOffline()
    {
        IsRemoved = true;
        MinPages = LowPages = 0;
        _ = Parent!._children.Remove(this);
        for (Cgroup? above = Parent; above is not null; above = above.Parent)
        {
            above.Dying++;
        }
    }

    /// <summary>Its last charge is gone, and so is it: what it counted stays counted above.</summary>
    internal void Release()
    {
        _ = Parent!.Below.Remove(this);
        for (int i = 0; i < _stats.Length; i++)
        {
            Parent._stats[i] += _stats[i];
        }

        for (Cgroup? above = Parent; above is not null; above = above.Parent)
        {
            above.Dying--;
        }
    }

    internal static long BytesOf(long pages) => pages == PageCounter.Unlimited ? long.MaxValue : pages << PageGeometry.PageShift;

    internal static long PagesOf(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        return Math.Min(bytes >> PageGeometry.PageShift, PageCounter.Unlimited);
    }
}
