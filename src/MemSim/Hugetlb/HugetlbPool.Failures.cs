namespace MemSim;

/// <content>Pages with hardware errors leave the pool.</content>
public sealed partial class HugetlbPool
{
    /// <summary>The huge page of the pool that a frame is part of.</summary>
    internal bool TryFind(int pfn, out int head, out bool isFree)
    {
        int first = head = pfn & ~((1 << _order) - 1);
        isFree = _free.Any(pages => pages.Contains(first));
        return isFree || _used.Contains(head);
    }

    /// <summary>Gives a free huge page to the page allocator, which keeps broken pages back (<c>dissolve_free_huge_page()</c>).</summary>
    /// <returns>False when all free pages are promised, or it is one that the allocator cannot take.</returns>
    internal bool TryDissolve(Cpu cpu, int head)
    {
        using (_machine.EnterOwners())
        {
            int node = IndexOf(_machine.ZoneTable.ZoneOf(head)!.Node.Id);
            if (IsGigantic || Free - Reserved <= 0 || !_free[node].Remove(head))
            {
                return false;
            }

            _total[node]--;
            _surplus[node] = Math.Min(_surplus[node], _total[node]);
            _machine.Pages.FreeBlock(cpu, head, _order);
            _ = Report();
            return true;
        }
    }
}
