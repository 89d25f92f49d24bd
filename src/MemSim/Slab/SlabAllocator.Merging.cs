using System.Globalization;
using MemSim.Slab;

namespace MemSim;

/// <content>Merging of compatible caches, and the names that come of it.</content>
public sealed partial class SlabAllocator
{
    private const SlabFlags NeverMerged = SlabFlags.RedZone | SlabFlags.Poison | SlabFlags.StoreUser | SlabFlags.Trace | SlabFlags.TypesafeByRcu | SlabFlags.NoLeakTrace;
    private const SlabFlags MustAgree = SlabFlags.ReclaimAccount | SlabFlags.CacheDma | SlabFlags.CacheDma32 | SlabFlags.Account;

    private SlabFlags NeverMergedHere => Rules.Personality.Slab.ChecksPreventMerging ? NeverMerged | SlabFlags.ConsistencyChecks : NeverMerged;

    /// <summary>The oldest cache that can serve such objects without wasting a word (<c>find_mergeable()</c>); null when there is none.</summary>
    private KmemCache? FindMergeable(string name, int size, int align, SlabFlags flags, ObjectConstructor? constructor)
    {
        flags = DebugOptions.Apply(name, flags);
        if (!_merges || constructor is not null || (flags & NeverMergedHere) != 0)
        {
            return null;
        }

        int rounded = SlabRules.AlignUp(size, Rules.WordBytes);
        int alignment = Rules.CalculateAlignment(flags, align, rounded);
        rounded = SlabRules.AlignUp(rounded, alignment);
        foreach (KmemCache cache in _caches)
        {
            if (!IsUnmergeable(cache) && rounded <= cache.Size && cache.Size - rounded < Rules.WordBytes
                && ((flags ^ cache.Flags) & MustAgree) == 0 && (cache.Size & (alignment - 1)) == 0)
            {
                return cache;
            }
        }

        return null;
    }

    private bool IsUnmergeable(KmemCache cache) =>
        !_merges || cache.RefusesAliases || cache.AsksForSheaves || cache.Constructor is not null || cache.UserSize != 0 || (cache.Flags & NeverMergedHere) != 0;

    /// <summary>The name below <c>/sys/kernel/slab</c>: of a cache that may be shared one that says what it can serve.</summary>
    internal string SysfsNameOf(KmemCache cache)
    {
        if (IsUnmergeable(cache))
        {
            return cache.Name;
        }

        SlabFlags flags = cache.Flags;
        string marks = ((flags & SlabFlags.CacheDma) != 0 ? "d" : "") + ((flags & SlabFlags.CacheDma32) != 0 ? "D" : "") + ((flags & SlabFlags.ReclaimAccount) != 0 ? "a" : "")
            + ((flags & SlabFlags.ConsistencyChecks) != 0 ? "F" : "") + ((flags & SlabFlags.Account) != 0 ? "A" : "");
        return string.Create(CultureInfo.InvariantCulture, $":{marks}{(marks.Length != 0 ? "-" : "")}{cache.Size:D7}");
    }
}
