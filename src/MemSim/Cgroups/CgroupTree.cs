using MemSim.Cgroups;
using MemSim.Kernels;
using MemSim.Pages;

namespace MemSim;

/// <summary>The memory cgroups of a machine (cgroup v2, as mounted at <c>/sys/fs/cgroup</c>).</summary>
/// <remarks>Until the first one is made nothing is charged, and nothing costs anything. Kernels differ in what their files show, in stocks and in how reclaim walks the tree.</remarks>
public sealed partial class CgroupTree
{
    private const int MaxId = FrameCgroups.MaxId;

    private readonly Cgroup?[] _byId = new Cgroup?[MaxId + 1];
    private readonly Dictionary<string, Cgroup> _byPath = new(StringComparer.Ordinal);
    private FrameCgroups? _charges;
    private int _lastId;

    internal CgroupTree(Machine machine)
    {
        Machine = machine;
        Rules = machine.Personality.Cgroups;
        Rows = machine.Personality.Views.Rows;
        Root = new Cgroup(this, null, "", 0);
        _byId[0] = Root;
        _byPath["/"] = Root;
        _stocks = new CgroupStock[machine.Cpus.Count][];
        _objectStocks = new ObjectStock[machine.Cpus.Count];
    }

    /// <summary>The root: all that no other cgroup pays for.</summary>
    public Cgroup Root { get; }

    /// <summary>Moves what a process has on some nodes to others; null where nothing can be moved.</summary>
    internal Action<Process, ulong, ulong>? MovesMemory { get; set; }

    /// <summary>Whether protection of a cgroup that those below it do not claim goes to them all the same (mount option <c>memory_recursiveprot</c>, which systemd sets).</summary>
    public bool RecursiveProtection { get; set; }

    internal Machine Machine { get; }

    internal CgroupRules Rules { get; }

    internal RowSet Rows { get; }

    /// <summary>Who finds memory in a cgroup; null while nothing can be reclaimed.</summary>
    internal ICgroupReclaim? Reclaimer { get; set; }

    /// <summary>Whether there was ever a cgroup besides the root.</summary>
    internal bool IsUsed => _charges is not null;

    /// <summary>Makes a cgroup (<c>mkdir</c>).</summary>
    /// <param name="path">Where, for example <c>/pod/web</c>; the one above must exist.</param>
    /// <exception cref="ArgumentException">The path is no path, the cgroup exists, or the one above does not.</exception>
    /// <exception cref="InvalidOperationException">There are too many.</exception>
    public Cgroup Create(string path)
    {
        Result<Cgroup> made = TryCreate(path);
        return made.Error switch
        {
            Errno.None => made.Value,
            Errno.ENOSPC => throw new InvalidOperationException("there are too many cgroups"),
            _ => throw new ArgumentException($"{path} cannot be made: {made.Error}", nameof(path)),
        };
    }

    /// <summary>Makes a cgroup.</summary>
    /// <param name="path">Where.</param>
    /// <returns>The cgroup, or EINVAL, EEXIST, ENOENT (nothing above it), ENOSPC (too many).</returns>
    public Result<Cgroup> TryCreate(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        Machine.ThrowIfDisposed();
        string full = path.StartsWith('/') ? path : "/" + path;
        int slash = full.LastIndexOf('/');
        string name = full[(slash + 1)..];
        if (name.Length == 0 || name is "." or ".." || full.Contains('\n', StringComparison.Ordinal))
        {
            return Errno.EINVAL;
        }

        if (_byPath.ContainsKey(full))
        {
            return Errno.EEXIST;
        }

        if (!_byPath.TryGetValue(slash == 0 ? "/" : full[..slash], out Cgroup? parent))
        {
            return Errno.ENOENT;
        }

        int id = FreeId();
        if (id == 0)
        {
            return Errno.ENOSPC;
        }

        bool first = _charges is null;
        FrameCgroups charges = _charges ?? new FrameCgroups(Machine.Frames.Length);
        if (!Machine.Lru.AddCgroup(id, parent.Id, charges))
        {
            return Errno.ENOSPC;
        }

        Cgroup cgroup = new(this, parent, name, id);
        parent.AddChild(cgroup);
        _byId[id] = cgroup;
        _byPath[full] = cgroup;
        if (first)
        {
            Begin(charges);
        }

        return cgroup;
    }

    /// <summary>The cgroup at a path; null when there is none.</summary>
    /// <param name="path">The path.</param>
    public Cgroup? Find(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        return _byPath.GetValueOrDefault(path.StartsWith('/') ? path : "/" + path);
    }

    /// <summary>Removes a cgroup (<c>rmdir</c>). What is charged to it stays so until it is freed; kernel memory is charged to the cgroup above from now on.</summary>
    /// <param name="path">Where it is.</param>
    /// <returns><see cref="Errno.None"/>, ENOENT, or EBUSY: it is the root, or has processes or cgroups below.</returns>
    public Errno Remove(string path)
    {
        if (Find(path) is not { } cgroup)
        {
            return Errno.ENOENT;
        }

        if (cgroup.IsRoot || cgroup.Children.Count != 0 || cgroup.Members.Any())
        {
            return Errno.EBUSY;
        }

        _ = _byPath.Remove(cgroup.Path);
        cgroup.GoOffline();
        DrainStocks(cgroup);
        DrainObjects(cgroup);
        LeaveKernelMemory(cgroup);
        TryRelease(cgroup);
        return Errno.None;
    }

    /// <summary>The cgroup with a number.</summary>
    internal Cgroup Of(int id) => _byId[id]!;

    /// <summary>The same; null when there is none.</summary>
    internal Cgroup? OfOrNull(int id) => _byId[id];

    /// <summary>That of the task that runs on a CPU.</summary>
    internal Cgroup Of(Cpu cpu) => _byId[cpu.Current.CgroupId]!;

    /// <summary>All there are, those that were removed but have charges left included; each before those below it.</summary>
    internal IEnumerable<Cgroup> All() => AllBelow(Root);

    /// <summary>A cgroup and those below it, as <see cref="All"/>.</summary>
    internal static IEnumerable<Cgroup> AllBelow(Cgroup top)
    {
        Stack<Cgroup> left = new([top]);
        while (left.TryPop(out Cgroup? cgroup))
        {
            yield return cgroup;
            for (int i = cgroup.Below.Count - 1; i >= 0; i--)
            {
                left.Push(cgroup.Below[i]);
            }
        }
    }

    /// <summary>A cgroup that was removed goes with its last charge.</summary>
    internal void TryRelease(Cgroup cgroup)
    {
        while (cgroup is { IsRemoved: true, ChargedFrames: 0, ChargedSlots: 0, Below.Count: 0 } && _byId[cgroup.Id] == cgroup)
        {
            cgroup.Release();
            Machine.Lru.RemoveCgroup(cgroup.Id);
            _byId[cgroup.Id] = null;
            cgroup = cgroup.Parent!;
        }
    }

    private void Begin(FrameCgroups charges)
    {
        _charges = charges;
        Machine.Hooks.BeginCharging(this);
    }

    private int FreeId()
    {
        for (int i = 0; i < MaxId; i++)
        {
            _lastId = _lastId == MaxId ? 1 : _lastId + 1;
            if (_byId[_lastId] is null)
            {
                return _lastId;
            }
        }

        return 0;
    }
}
