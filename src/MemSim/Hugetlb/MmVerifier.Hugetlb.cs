using MemSim.Diagnostics;
using MemSim.Hardware;
using MemSim.Hugetlb;

namespace MemSim.VirtualMemory;

/// <content>Mappings of the pool of huge pages.</content>
internal sealed partial class MmVerifier
{
    private readonly Dictionary<int, int> _mappedOfPool = [];
    private readonly HashSet<HugetlbFile> _hugetlbFiles = [];
    private long _hugetlbPages;

    private long CheckHugetlb(MemoryDescriptor mm, Vma vma, PteLayout layout)
    {
        long found = 0;
        _hugetlbFiles.Add(vma.Hugetlb!);
        if (vma.Hugetlb!.Backing is { } backing)
        {
            _hugetlbFiles.Add(backing);
        }

        for (ulong at = vma.StartValue; at < vma.EndValue; at += HugetlbMemory.BytesOf(vma))
        {
            ulong slot = mm.Tables.FindSlotOnLevel(at, vma.Hugetlb!.Pool.Level);
            if ((slot == 0 ? 0 : mm.Tables.ReadSlot(slot)) is not (var entry and not 0) || layout.IsHwPoison(entry))
            {
                continue;
            }

            _hugetlbPages += 1L << vma.Hugetlb!.Pool.Order;
            found += vma.Hugetlb.Pool.Level == 2 ? 1 : 0;
            int head = layout.Pfn(entry);
            _mappedOfPool[head] = _mappedOfPool.GetValueOrDefault(head) + 1;
            if (!layout.IsHuge(entry) || !vma.Hugetlb.Pool.IsInUse(head))
            {
                BugReporter.Corrupt($"{mm.Tables}: frame 0x{head:x}, mapped at {at:x}, is not the pool's");
            }
        }

        return found;
    }

    /// <summary>References of the pool's pages are those of entries and of shared files; promises are those of files.</summary>
    private void VerifyHugetlb()
    {
        long reserved = 0;
        Dictionary<int, int> references = new(_mappedOfPool);
        _hugetlbFiles.UnionWith(spaces.Machine.Hugetlb.Files);
        foreach (HugetlbFile file in _hugetlbFiles)
        {
            reserved += file.Reserved.Count;
            foreach (int head in file.Pages.Values)
            {
                references[head] = references.GetValueOrDefault(head) + 1;
            }
        }

        MachineHugetlb huge = spaces.Machine.Hugetlb;
        long promised = huge.Pools.Sum(pool => pool.Reserved);
        int inUse = huge.Pools.Sum(pool => pool.InUse.Count);
        if (reserved != promised || references.Count != inUse)
        {
            BugReporter.Corrupt($"the pools of huge pages have {promised} reserved and {inUse} in use, but mappings and files {reserved} and {references.Count}");
        }

        foreach ((int head, int count) in references)
        {
            int maps = _mappedOfPool.GetValueOrDefault(head);
            if (spaces.Pages.RefCount(head) != count || spaces.Maps.TotalMapCount(head) != maps)
            {
                BugReporter.Corrupt($"page 0x{head:x} of the pool has {spaces.Pages.RefCount(head)} references and {spaces.Maps.TotalMapCount(head)} mappings, not {count} and {maps}");
            }
        }
    }
}
