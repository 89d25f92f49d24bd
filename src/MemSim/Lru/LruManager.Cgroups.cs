using System.Diagnostics;
using System.Runtime.CompilerServices;
using MemSim.Hardware;
using MemSim.Pages;

namespace MemSim.Lru;

/// <content>Lists of memory cgroups: each has its own on every node.</content>
internal sealed partial class LruManager
{
    /// <summary>Cgroups that can exist at once on a machine with one node; with more nodes as many less, for each needs lists on every node.</summary>
    private const int MostCgroups = 4096;

    /// <summary>Where the host's memory is taken whole, touched or not.</summary>
    private const int MostCgroupsOfSmallHosts = 256;

    private readonly Stack<int> _freeHeads = new();
    private FrameCgroups? _charges;
    private LruVec[]?[] _vecsOfCgroup = [];
    private int _headsLeft;

    /// <summary>Whether there was ever a cgroup besides the root.</summary>
    public bool HasCgroups => _charges is not null;

    /// <summary>List heads that a machine needs for its root's lists and those of cgroups.</summary>
    public static int ListHeadsOf(int nodes, HostMemory host) => (nodes + CgroupVecs(nodes, host)) * LruVec.AllHeads;

    /// <summary>The lists of a cgroup on a node.</summary>
    /// <returns>Null when there is no such cgroup any more.</returns>
    public LruVec? VecOf(int node, int cgroup) => cgroup == 0 ? _vecs[node] : (uint)cgroup < (uint)_vecsOfCgroup.Length ? _vecsOfCgroup[cgroup]?[node] : null;

    /// <summary>Gives a new cgroup its lists.</summary>
    /// <param name="id">Its number, from 1 on, which no other living one has.</param>
    /// <param name="parent">The number of the one above it.</param>
    /// <param name="charges">Who pays for which frame.</param>
    /// <returns>False when there is no room for more lists.</returns>
    public bool AddCgroup(int id, int parent, FrameCgroups charges)
    {
        Debug.Assert(VecOf(0, id) is null, "numbers of living cgroups differ");
        if (_charges is null)
        {
            _headsLeft = CgroupVecs(_vecs.Length, _machine.Ram.Host);
            foreach (LruVec root in _vecs)
            {
                root.BeginOwnSizes();
            }

            _charges = charges;
        }

        if (_headsLeft + _freeHeads.Count < _vecs.Length)
        {
            return false;
        }

        LruVec[] vecs = new LruVec[_vecs.Length];
        for (int node = 0; node < vecs.Length; node++)
        {
            LruVec above = VecOf(node, parent)!;
            vecs[node] = new LruVec(above.Node, node, _frames, TakeHeads(), _parallel) { CgroupId = id, Parent = above };
            vecs[node].Watch(_machine.Interleaver);
            vecs[node].BeginOwnSizes();
            BeginGenerations(vecs[node]);
            above.AddChild(vecs[node]);
        }

        if (id >= _vecsOfCgroup.Length)
        {
            Array.Resize(ref _vecsOfCgroup, Math.Max(id + 1, _vecsOfCgroup.Length * 2));
        }

        _vecsOfCgroup[id] = vecs;
        return true;
    }

    /// <summary>Takes the lists of a cgroup for which nobody's pages are charged any more.</summary>
    public void RemoveCgroup(int id)
    {
        foreach (LruVec vec in _vecsOfCgroup[id]!)
        {
            Debug.Assert(vec.Children.Count == 0, "cgroups below live no longer than those above");
            vec.Parent!.RemoveChild(vec);
            _freeHeads.Push(vec.Head(LruList.InactiveAnon));
        }

        _vecsOfCgroup[id] = null;
    }

    /// <summary>Swap that pages of a cgroup could still go to.</summary>
    public long SwapFreePages(LruVec vec) => vec.Parent is null ? _machine.SystemFigures.SwapFreePages : _machine.Cgroups.SwapFreePages(vec.CgroupId);

    /// <summary>Says for which cgroup's limit a CPU reclaims from now on: pages that leave remember the time of that cgroup.</summary>
    public void EvictFor(Cpu cpu, int cgroup) => _batches[cpu.Id].EvictionCgroup = cgroup;

    [MethodImpl(MethodImplOptions.NoInlining)]
    private LruVec OfCharged(int pfn, LruVec root) => _charges![pfn] is int id and not 0 ? _vecsOfCgroup[id]![root.Index] : root;

    private int TakeHeads()
    {
        if (_freeHeads.TryPop(out int heads))
        {
            for (int i = 0; i < LruVec.AllHeads; i++)
            {
                _frames.InitList(heads + i);
            }

            return heads;
        }

        _headsLeft--;
        return _map.TakeListHeads(LruVec.AllHeads);
    }

    private IEnumerable<LruVec> AllVecs()
    {
        foreach (LruVec root in _vecs)
        {
            for (LruVec? vec = root; vec is not null; vec = vec.NextBelow(root))
            {
                yield return vec;
            }
        }
    }

    private void VerifyOwnSizes(Dictionary<LruVec, long[]> own)
    {
        foreach ((LruVec vec, long[] pages) in own)
        {
            for (LruList list = LruList.InactiveAnon; list <= LruList.Unevictable && HasCgroups; list++)
            {
                long counted = vec.Size(list, int.MaxValue - 1);
                if (counted != pages[(int)list])
                {
                    Fail(vec.Node, $"cgroup {vec.CgroupId} counts {counted} pages of {list}, but {pages[(int)list]} are there");
                }
            }
        }
    }

    private static int CgroupVecs(int nodes, HostMemory host) => Math.Max(nodes, host == HostMemory.Mapped ? MostCgroups : MostCgroupsOfSmallHosts);
}
