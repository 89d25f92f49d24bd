using MemSim.Cgroups;
using MemSim.Kernels;
using MemSim.Lru;

namespace MemSim.Reclaim;

/// <content>By generations cgroups take turns when the machine is short of memory (<c>shrink_many()</c>).</content>
internal sealed partial class PageReclaim
{
    /// <summary>Whether they do: by the rules of 6.12. From 6.18 on the whole tree is walked here, though kernels have turns then, too: figures of 7.3's <c>cg-low-min</c> come out worse with them, and why is not known.</summary>
    private bool TakesTurns(ScanControl sc) =>
        sc.IsGlobal && _lru.ByGeneration && _lru.HasCgroups && _machine.Personality.Reclaim is { SparesLowOnce: true, Eviction: EvictionStep.Batch };

    /// <summary>Begins a pass with whoever is first.</summary>
    private void BeginTurns(NodeReclaimState state, ScanControl sc)
    {
        CgroupRotation rotation = state.Rotation ??= new CgroupRotation(state.Lists);
        LruVec? first = rotation.First();
        sc.TurnSequence = rotation.Sequence;
        first = SkipSpared(rotation, first, sc);
        sc.Lists = first ?? state.Lists;
        BeginLists(state, sc);
        if (first is null)
        {
            // All are protected.
            sc.ListsAreDone = sc.EvictionIsOver = true;
        }
    }

    /// <summary>Goes on to the next one's lists.</summary>
    /// <returns>False when those at hand are the last; their end is that of the pass.</returns>
    private bool NextTurn(Cpu cpu, NodeReclaimState state, ScanControl sc)
    {
        CgroupRotation rotation = state.Rotation!;
        if (sc.ListsAreDone || rotation.Next(sc.Lists!, sc.TurnSequence) is not { } next)
        {
            return false;
        }

        EndLists(cpu, state, sc);
        LruVec? lists = SkipSpared(rotation, next, sc);
        sc.ListsAreDone = lists is null;
        if (lists is null)
        {
            return false;
        }

        sc.Lists = lists;
        BeginLists(state, sc);
        return true;
    }

    /// <summary>Passes over those that are protected: below <c>memory.min</c> always, below <c>memory.low</c> when they come up for the first time.</summary>
    private LruVec? SkipSpared(CgroupRotation rotation, LruVec? lists, ScanControl sc)
    {
        while (lists is not null && lists.CgroupId != 0)
        {
            Cgroup cgroup = _machine.Cgroups.Of(lists.CgroupId);
            cgroup.ComputeProtection(_machine.Cgroups.Root);
            if (!cgroup.IsBelowMin && (!cgroup.IsBelowLow || lists.Rotation.IsAtTail))
            {
                if (cgroup.IsBelowLow)
                {
                    cgroup.Raise(CgroupEvent.Low);
                }

                return lists;
            }

            LruVec? next = rotation.Next(lists, sc.TurnSequence);
            if (cgroup.IsBelowMin)
            {
                rotation.MakeYoung(lists);
            }
            else
            {
                rotation.MoveToTail(lists);
                next ??= lists;
            }

            lists = next;
        }

        return lists;
    }

    /// <summary>Where the lists that were scanned stand from now on (<c>shrink_one()</c>).</summary>
    private void EndTurn(NodeReclaimState state, ScanControl sc)
    {
        LruVec lists = sc.Lists!;
        if (lists.IsGone || state.Rotation is not { } rotation)
        {
            return;
        }

        bool online = IsOnline(lists);
        long pages = lists.Generations!.EvictablePages(sc.PassSwappiness);
        if (sc.HasAged && online)
        {
            rotation.MakeYoung(lists);
        }
        else if (sc.HasAged || (online ? pages >> sc.Priority : pages) == 0)
        {
            if (lists.Rotation.IsAtTail)
            {
                rotation.MakeYoung(lists);
            }
            else
            {
                rotation.MoveToTail(lists);
            }
        }
    }
}
