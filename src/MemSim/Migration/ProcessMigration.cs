using MemSim.Lru;
using MemSim.Migration;
using MemSim.Statistics;
using MemSim.VirtualMemory;

namespace MemSim;

/// <summary>Moving a process's pages between nodes: <c>move_pages(2)</c>, <c>migrate_pages(2)</c>, <c>mbind(2)</c> with <c>MPOL_MF_MOVE</c>.</summary>
/// <remarks>Huge pages are split first and moved as small ones.</remarks>
public static class ProcessMigration
{
    /// <summary>Asks where pages are (<c>move_pages()</c> without nodes).</summary>
    /// <param name="process">The process.</param>
    /// <param name="pages">Addresses.</param>
    /// <param name="status">Receives for each its node, or a negative errno: EFAULT where no area is or only the zero page, ENOENT where no page is.</param>
    /// <returns><see cref="Errno.None"/>, or ESRCH for a process that has ended.</returns>
    public static Errno QueryPages(this Process process, ReadOnlySpan<VirtualAddress> pages, Span<int> status)
    {
        ArgumentNullException.ThrowIfNull(process);
        if (process.MmOrNull is not { } mm)
        {
            return Errno.ESRCH;
        }

        using OwnersLock.Scope scope = mm.Spaces.Enter();
        for (int i = 0; i < pages.Length; i++)
        {
            Errno wrong = Find(mm, pages[i].Value, out int pfn);
            status[i] = wrong != Errno.None ? -(int)wrong : NodeOf(mm, pfn);
        }

        return Errno.None;
    }

    /// <summary>Moves single pages to nodes (<c>move_pages()</c>).</summary>
    /// <param name="process">The process.</param>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="pages">Addresses.</param>
    /// <param name="nodes">For each the node it shall be on.</param>
    /// <param name="status">Receives for each the node it is on, or a negative errno: EFAULT, ENOENT, EACCES (others map it too), EBUSY (it cannot be moved now), ENOMEM.</param>
    /// <param name="moveShared">Whether pages that others map too are moved as well (<c>MPOL_MF_MOVE_ALL</c>).</param>
    /// <returns><see cref="Errno.None"/>; ESRCH; ENODEV for a node that does not exist, then the pages before it are moved.</returns>
    public static Errno MovePages(this Process process, Cpu cpu, ReadOnlySpan<VirtualAddress> pages, ReadOnlySpan<int> nodes, Span<int> status, bool moveShared = false)
    {
        ArgumentNullException.ThrowIfNull(process);
        ArgumentNullException.ThrowIfNull(cpu);
        _ = process.Machine.CpuTable.Own(cpu);
        if (process.MmOrNull is not { } mm)
        {
            return Errno.ESRCH;
        }

        using OwnersLock.Scope scope = mm.Spaces.Enter();
        cpu.Machine.Lru.DrainAll(cpu);
        for (int i = 0; i < pages.Length; i++)
        {
            if (cpu.Machine.ZoneTable.NodeOrDefault(nodes[i]) is not { } node)
            {
                return Errno.ENODEV;
            }

            Errno result = Find(mm, pages[i].Value, out int pfn);
            if (result == Errno.None && NodeOf(mm, pfn) != node.Id)
            {
                result = Move(cpu, mm, pfn, new OneNode(cpu.Machine, node), moveShared, MigrationReason.SystemCall);
            }

            status[i] = result == Errno.None ? node.Id : -(int)result;
        }

        return Errno.None;
    }

    /// <summary>Moves all pages of a process from some nodes to others (<c>migrate_pages()</c>): those of the first given to the first, and so on round.</summary>
    /// <param name="process">The process.</param>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="from">The nodes to leave, ascending.</param>
    /// <param name="to">The nodes to go to, ascending.</param>
    /// <returns>Pages that could not be moved, or ESRCH, EINVAL for nodes that do not exist.</returns>
    public static Result<long> MigratePages(this Process process, Cpu cpu, ReadOnlySpan<int> from, ReadOnlySpan<int> to)
    {
        ArgumentNullException.ThrowIfNull(process);
        ArgumentNullException.ThrowIfNull(cpu);
        _ = process.Machine.CpuTable.Own(cpu);
        if (process.MmOrNull is not { } mm)
        {
            return Errno.ESRCH;
        }

        foreach (int node in to)
        {
            if (cpu.Machine.ZoneTable.NodeOrDefault(node) is null)
            {
                return Errno.EINVAL;
            }
        }

        if (to.Length == 0)
        {
            return Errno.EINVAL;
        }

        using OwnersLock.Scope scope = mm.Spaces.Enter();
        cpu.Machine.Lru.DrainAll(cpu);
        long failed = 0;
        for (Vma? vma = mm.Tree.First; vma is not null; vma = vma.Next)
        {
            for (ulong at = vma.StartValue; at < vma.EndValue; at += PageGeometry.PageSize)
            {
                if (Find(mm, at, out int pfn) != Errno.None)
                {
                    continue;
                }

                int place = from.IndexOf(NodeOf(mm, pfn));
                if (place < 0 || to.IndexOf(NodeOf(mm, pfn)) >= 0)
                {
                    continue;
                }

                Node node = cpu.Machine.ZoneTable.NodeOrDefault(to[place % to.Length])!;
                failed += Move(cpu, mm, pfn, new OneNode(cpu.Machine, node), moveShared: false, MigrationReason.SystemCall) is Errno.EBUSY or Errno.ENOMEM ? 1 : 0;
            }
        }

        return failed;
    }

    /// <summary>Sets the policy of a range and moves the pages there that it does not allow where they are (<c>mbind()</c> with <c>MPOL_MF_MOVE</c>).</summary>
    /// <param name="process">The process.</param>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="policy">The policy.</param>
    /// <param name="strict">Whether pages that could not be moved are an error (<c>MPOL_MF_STRICT</c>): EIO.</param>
    /// <returns>What <see cref="MemoryDescriptor.Mbind"/> returns; ESRCH; EIO.</returns>
    public static Errno MbindAndMove(this Process process, Cpu cpu, VirtualAddress address, long length, MemoryPolicy policy, bool strict = false)
    {
        ArgumentNullException.ThrowIfNull(process);
        ArgumentNullException.ThrowIfNull(cpu);
        _ = process.Machine.CpuTable.Own(cpu);
        ArgumentNullException.ThrowIfNull(policy);
        if (process.MmOrNull is not { } mm)
        {
            return Errno.ESRCH;
        }

        using OwnersLock.Scope scope = mm.Spaces.Enter();
        Errno bound = mm.Mbind(address, length, policy);
        if (bound != Errno.None)
        {
            return bound;
        }

        cpu.Machine.Lru.DrainAll(cpu);
        bool left = false;
        for (ulong at = address.Value; at < address.Value + (ulong)length; at += PageGeometry.PageSize)
        {
            if (Find(mm, at, out int pfn) == Errno.None && (policy.NodeMask >> NodeOf(mm, pfn) & 1) == 0)
            {
                Vma vma = mm.At(at)!;
                left |= Move(cpu, mm, pfn, new OneNode(cpu.Machine, NodeFor(cpu.Machine, policy, vma.IndexOf(at))), moveShared: false, MigrationReason.MempolicyBind) != Errno.None;
            }
        }

        return left && strict ? Errno.EIO : Errno.None;
    }

    private static Node NodeFor(Machine machine, MemoryPolicy policy, uint index) =>
        machine.ZoneTable.NodeOrDefault(policy.Spreads ? policy.InterleavedAt(index, ulong.MaxValue, machine.ZoneTable.InterleaveWeights) : policy.FirstNode) ?? machine.Nodes[0];

    private static int NodeOf(MemoryDescriptor mm, int pfn) => mm.Machine.Zones[mm.Spaces.Frames[mm.Spaces.Pages.HeadOf(pfn)].ZoneId].Node.Id;

    /// <summary>The page at an address.</summary>
    private static Errno Find(MemoryDescriptor mm, ulong address, out int pfn)
    {
        pfn = -1;
        if (mm.At(address) is not { } vma)
        {
            return Errno.EFAULT;
        }

        AddressSpaces spaces = mm.Spaces;
        ulong slot = mm.Tables.FindSlot(address);
        ulong entry = slot != 0 ? mm.Tables.ReadSlot(slot) : spaces.Huge.PartOf(vma, address);
        if (entry == 0 || !spaces.Layout.IsPresent(entry))
        {
            return Errno.ENOENT;
        }

        pfn = spaces.Entries.PeekPage(vma, address, entry);
        return pfn < 0 ? Errno.EFAULT : Errno.None;
    }

    private static Errno Move(Cpu cpu, MemoryDescriptor mm, int pfn, OneNode target, bool moveShared, MigrationReason reason)
    {
        AddressSpaces spaces = mm.Spaces;
        if (spaces.Maps.MapCount(pfn) > 1 && !moveShared)
        {
            return Errno.EACCES;
        }

        int head = spaces.Pages.HeadOf(pfn);
        PageMigrator migrator = cpu.Machine.Migration.Migrator;
        if (spaces.Frames[head].Order != 0 && spaces.Pages.IsAnon(head))
        {
            if (spaces.Huge.IsWhole(head) && migrator.IsolateLru(head))
            {
                List<int> whole = [head];
                MigrationResult moved = migrator.Migrate(cpu, whole, target, MigrationMode.Sync, reason);
                migrator.PutBackAll(cpu, whole);
                if (!moved.NoMemory)
                {
                    cpu.Machine.Events.Count(moved.Failed == 0 ? VmEvent.ThpMigrationSuccess : VmEvent.ThpMigrationFail);
                    return moved.Failed == 0 ? Errno.None : Errno.EBUSY;
                }
            }

            // No block of its size: its parts may find room.
            spaces.Pages.Get(head);
            bool split = spaces.Huge.SplitPage(cpu, head);
            spaces.Pages.Put(cpu, head);
            if (!split)
            {
                return Errno.EBUSY;
            }

            cpu.Machine.Events.Count(VmEvent.ThpMigrationSplit);
        }

        if (!migrator.IsolateLru(pfn))
        {
            return Errno.EBUSY;
        }

        List<int> isolated = [pfn];
        MigrationResult result = migrator.Migrate(cpu, isolated, target, MigrationMode.Sync, reason);
        migrator.PutBackAll(cpu, isolated);
        return result.NoMemory ? Errno.ENOMEM : result.Failed != 0 ? Errno.EBUSY : Errno.None;
    }

    private sealed class OneNode(Machine machine, Node node) : IMigrationTargets
    {
        public int Take(Cpu cpu, int from, int order) => machine.Pages.AllocateChecked(cpu, (order == 0 ? Gfp.HighUserMovable : Gfp.TransHuge) | Gfp.ThisNode, order, node);

        public void GiveBack(Cpu cpu, int pfn) => machine.Pages.FreeBlock(cpu, pfn, machine.Frames.Array[pfn].Order);
    }
}
