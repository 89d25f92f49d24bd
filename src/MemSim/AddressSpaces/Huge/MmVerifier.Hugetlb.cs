using MemSim.AddressSpaces.Huge;
using MemSim.Hardware;
using MemSim.Observability;

namespace MemSim.AddressSpaces;

/// <content>Mappings of the pool of huge pages.</content>
internal sealed partial class MmVerifier
{
    private readonly Dictionary<int, int> _mappedOfPool = [];
    private readonly HashSet<HugetlbFile> _hugetlbFiles = [];

    private long CheckHugetlb(MemoryDescriptor mm, Vma vma, PteLayout layout)
    {
        long found = 0;
        _hugetlbFiles.Add(vma.Hugetlb!);
        for (ulong at = vma.StartValue; at < vma.EndValue; at += core.Huge.Bytes)
        {
            ulong slot = mm.Tables.FindPmd(at);
            ulong entry = slot == 0 ? 0 : mm.Tables.ReadSlot(slot);
            if (entry == 0)
            {
                continue;
            }

            found++;
            int head = layout.Pfn(entry);
            _mappedOfPool[head] = _mappedOfPool.GetValueOrDefault(head) + 1;
            if (!layout.IsHuge(entry) || !core.Machine.HugePages.Pool.IsInUse(head))
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
        foreach (HugetlbFile file in _hugetlbFiles)
        {
            reserved += file.Reserved.Count;
            foreach (int head in file.Pages.Values)
            {
                references[head] = references.GetValueOrDefault(head) + 1;
            }
        }

        HugePagePool pool = core.Machine.HugePages.Pool;
        if (reserved != pool.Reserved || references.Count != pool.InUse.Count)
        {
            BugReporter.Corrupt($"the pool of huge pages has {pool.Reserved} reserved and {pool.InUse.Count} in use, but mappings {reserved} and {references.Count}");
        }

        foreach ((int head, int count) in references)
        {
            int maps = _mappedOfPool.GetValueOrDefault(head);
            if (core.RefCount(head) != count || core.TotalMapCount(head) != maps)
            {
                BugReporter.Corrupt($"page 0x{head:x} of the pool has {core.RefCount(head)} references and {core.TotalMapCount(head)} mappings, not {count} and {maps}");
            }
        }
    }
}
