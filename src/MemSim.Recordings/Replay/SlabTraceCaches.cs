using System.Globalization;
using MemSim.Recordings.Twins;
using MemSim.Slab;

namespace MemSim.Recordings.Replay;

/// <summary>Creates the caches that a recording allocates from, and compares what the recording machine said of them.</summary>
/// <remarks>
/// A trace tells an object's size and its slot's, not the alignment and flags that lead from one to the other. These come from <c>slab-sysfs.txt</c> where that lies
/// beside the recording. Else the first properties are taken with which the layout rules give the recorded slot; then only slots that no rule gives show as different,
/// and the slab's order and object count, which <c>slabinfo</c> tells.
/// </remarks>
internal static class SlabTraceCaches
{
    private const int LargestAlignTried = PageGeometry.PageSize;

    private static readonly SlabFlags[] FlagsTried = [SlabFlags.None, SlabFlags.HwCacheAlign, SlabFlags.TypesafeByRcu, SlabFlags.HwCacheAlign | SlabFlags.TypesafeByRcu];

    /// <summary>The machine's cache for each of the recording's.</summary>
    /// <param name="machine">The machine.</param>
    /// <param name="recording">The recording.</param>
    /// <param name="folder">Where slab-sysfs.txt and slabinfo may lie.</param>
    /// <param name="known">Set for caches whose properties the recording machine told.</param>
    /// <exception cref="InputFileException">A file is malformed.</exception>
    public static KmemCache[] Create(Machine machine, SlabTraceRecording recording, TraceReplayFolder folder, out bool[] known)
    {
        KmemCache[] caches = new KmemCache[recording.Caches.Count];
        known = new bool[caches.Length];
        Dictionary<string, SlabSysfsRow> rows = ReadSysfs(folder);
        for (int i = 0; i < caches.Length; i++)
        {
            SlabTraceCache recorded = recording.Caches[i];
            if (machine.Slab.Find(recorded.Name) is { RefusesAliases: true } own)
            {
                // kmalloc's caches and the slab layer's own: the same on every machine.
                known[i] = true;
                caches[i] = own;
                continue;
            }

            known[i] = rows.TryGetValue(recorded.Name, out SlabSysfsRow? row);
            CacheRequest request = row is not null ? row.Request with { Name = UniqueName(machine, recorded.Name) } : Explain(machine, recorded);
            const SlabFlags derived = SlabFlags.Kmalloc | SlabFlags.DebugFlags;
            caches[i] = machine.Slab.CreateCache(request.Name, request.ObjectSize, request.Align, request.Flags & ~derived, request.HasConstructor ? static (_, _) => { } : null);
        }

        return caches;
    }

    /// <summary>Compares the layouts of the caches used with <c>slabinfo</c> as it was before the trace.</summary>
    public static void CompareLayouts(IReadOnlyList<KmemCache> caches, SlabTraceRecording recording, TraceReplayFolder folder, ReplayTally tally)
    {
        if (folder.FindBefore("slabinfo") is not { } path)
        {
            return;
        }

        Dictionary<string, SlabInfoRow> rows = new(StringComparer.Ordinal);
        foreach (SlabInfoRow row in SlabSysfsFile.ReadSlabInfo(path))
        {
            rows[row.Name] = row;
        }

        for (int i = 0; i < caches.Count; i++)
        {
            KmemCache cache = caches[i];
            if (rows.TryGetValue(recording.Caches[i].Name, out SlabInfoRow? row))
            {
                Compare("objsize", row.Size, cache.Size);
                Compare("objperslab", row.ObjectsPerSlab, cache.ObjectsPerSlab);
                Compare("pagesperslab", row.PagesPerSlab, 1L << cache.Order);
            }

            void Compare(string figure, long? recorded, long here)
            {
                if (recorded is not null)
                {
                    tally.Compare("slab layout", recorded == here, () => $"{cache.Name}: {figure} {recorded} recorded, {here} here");
                }
            }
        }
    }

    private static Dictionary<string, SlabSysfsRow> ReadSysfs(TraceReplayFolder folder)
    {
        Dictionary<string, SlabSysfsRow> rows = new(StringComparer.Ordinal);
        if (folder.FindBefore("slab-sysfs.txt") is { } sysfs)
        {
            foreach (SlabSysfsRow row in SlabSysfsFile.Read(sysfs))
            {
                rows[row.Name] = row;
            }
        }

        if (folder.FindBefore("slab-aliases.txt") is { } aliases)
        {
            foreach ((string name, string target) in SlabSysfsFile.ReadAliases(aliases))
            {
                if (rows.TryGetValue(target, out SlabSysfsRow? row))
                {
                    rows.TryAdd(name, row);
                }
            }
        }

        return rows;
    }

    /// <summary>The first properties with which an object gets the slot that it was recorded to have; the plain ones if there are none.</summary>
    private static CacheRequest Explain(Machine machine, SlabTraceCache recorded)
    {
        SlabRules rules = machine.Slab.Rules;
        CacheRequest plain = new(UniqueName(machine, recorded.Name), recorded.Requested, 0, SlabFlags.None, false);
        for (int align = rules.MinAlign; align <= LargestAlignTried; align *= 2)
        {
            foreach (SlabFlags flags in FlagsTried)
            {
                int wanted = align == rules.MinAlign ? 0 : align;
                int final = rules.CalculateAlignment(flags, wanted, recorded.Requested);
                if (SlubGeometry.Compute(rules, plain with { Align = final, Flags = flags }).Size == recorded.Delivered)
                {
                    return plain with { Align = wanted, Flags = flags };
                }
            }
        }

        return plain;
    }

    private static string UniqueName(Machine machine, string name)
    {
        string unique = name;
        for (int i = 2; machine.Slab.Find(unique) is not null; i++)
        {
            unique = string.Create(CultureInfo.InvariantCulture, $"{name}#{i}");
        }

        return unique;
    }
}
