using MemSim.Lru;
using MemSim.Swap;
using MemSim.Zones;

namespace MemSim;

/// <content>Switching an area off.</content>
public sealed partial class SwapSpace
{
    /// <summary>Switches an area off: all its pages are brought back first (<c>swapoff()</c>).</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <param name="area">The area.</param>
    /// <returns>
    /// EINVAL: it is not on. ENOMEM: its pages would not fit, or a page could not be had. EIO: a page could not be read. After an error the area is on as before
    /// and every page is where it was or in memory.
    /// </returns>
    /// <remarks>One difference from 6.1, which gives up pages that it cannot read and leaves entries in their place that end in SIGBUS: here nothing is lost.</remarks>
    public Errno SwapOff(Cpu cpu, SwapArea area)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        ArgumentNullException.ThrowIfNull(area);
        Machine.ThrowIfDisposed();
        _ = Machine.CpuTable.Own(cpu);
        if (!ReferenceEquals(area.Space, this))
        {
            throw new ArgumentException($"{area.Name} belongs to another machine", nameof(area));
        }

        cpu.Context.MightSleep("swapoff");
        if (!area.IsOn || AreaOrNull(area.Type) != area)
        {
            return Errno.EINVAL;
        }

        if (!MayPromise(area.Pages))
        {
            return Errno.ENOMEM;
        }

        using (Enter())
        {
            area.IsWritable = false;
            _byPriority.Remove(area);
            Machine.SystemFigures.SwapTotalPages -= area.Pages;
            Machine.SystemFigures.SwapFreePages -= area.Pages - area.UsedPages;
        }

        using OwnersLock.Scope owners = Machine.EnterOwners();
        Errno error = EmptyArea(cpu, area);
        using (Enter())
        {
            if (error != Errno.None)
            {
                MakeWritable(area);
                return error;
            }

            Forget(area);
        }

        area.Backing.Dispose();
        (area.Backing as DeviceSwapBacking)?.Device.Release();
        return Errno.None;
    }

    /// <summary>Brings everything back that an area holds (<c>try_to_unuse()</c>).</summary>
    private Errno EmptyArea(Cpu cpu, SwapArea area)
    {
        // Pages that came in through read-ahead may have been written out again elsewhere, but never to this area: two rounds are enough unless a page is locked.
        for (int round = 0; round < 3 && area.UsedPages != 0; round++)
        {
            foreach (ISwapUser user in Users)
            {
                Errno error = user.Unuse(cpu, area);
                if (error != Errno.None)
                {
                    return error;
                }
            }

            DropUnusedCache(cpu, area);
        }

        return area.UsedPages == 0 ? Errno.None : Errno.EBUSY;
    }

    /// <summary>A page is mapped again: it leaves the swap cache if it can.</summary>
    internal void FreeSlotWhenWritten(Cpu cpu, int pfn)
    {
        if (TryLock(pfn))
        {
            WaitForWrite(cpu, pfn);
            _ = TryFreeSlot(cpu, pfn);
            Unlock(pfn);
        }
    }

    /// <summary>Takes pages that no entry names out of the swap cache.</summary>
    private void DropUnusedCache(Cpu cpu, SwapArea area)
    {
        for (long slot = SwapArea.HeaderSlots; slot < area.Slots && area.UsedPages != 0; slot++)
        {
            int pfn = area.CachedPage(slot);
            if (pfn < 0)
            {
                continue;
            }

            Machine.Frames.AddReferences(pfn, 1);
            FreeSlotWhenWritten(cpu, pfn);
            Machine.Lru.Put(cpu, pfn);
        }
    }

    private void Forget(SwapArea area)
    {
        area.IsOn = false;
        _areas[area.Type] = null;
        _rotating -= area.IsSolidState ? 0 : 1;
        if (area.Priority < 0 && !AreasAreEqual)
        {
            // Priorities that were given out by themselves move up, so that the next one is the lowest again.
            foreach (SwapArea? other in _areas)
            {
                if (other is not null && other.Priority < area.Priority)
                {
                    other.Priority++;
                }
            }

            _leastPriority++;
        }

        for (int i = 0; i < _turn.Length; i++)
        {
            _turn[i] = _turn[i] == area ? null : _turn[i];
        }
    }

    /// <summary>Whether memory for so many pages could be promised (<c>security_vm_enough_memory_mm()</c>): strict accounting counts, the default refuses only what could never fit.</summary>
    private bool MayPromise(long pages)
    {
        return Machine.Settings.Sysctls.OvercommitMemory switch
        {
            1 => true,
            2 => Machine.SystemFigures.CommittedPages + pages <= MemoryTotals.CommitLimit(Machine),
            _ => pages <= MemoryTotals.ManagedPages(Machine) + TotalPages,
        };
    }
}
