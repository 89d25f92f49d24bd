using MemSim.VirtualMemory;

namespace MemSim;

/// <content>Areas that grow down.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Makes an area begin lower (<c>expand_downwards()</c>).</summary>
    internal Errno ExpandStack(Cpu cpu, Vma vma, ulong address)
    {
        if (address < MinAddress)
        {
            return Errno.EPERM;
        }

        if (vma.Previous is { } below && (below.Flags & VmaFlags.GrowsDown) == 0 && (below.Flags & (VmaFlags.Read | VmaFlags.Write | VmaFlags.Exec)) != 0
            && (address < below.EndValue || address - below.EndValue < StackGuardPages << PageGeometry.PageShift))
        {
            return Errno.ENOMEM;
        }

        if (vma.Previous is { } neighbour && neighbour.EndValue > address)
        {
            return Errno.ENOMEM;
        }

        if (!_spaces.Anon.Prepare(cpu, vma))
        {
            return Errno.ENOMEM;
        }

        long grow = (long)((vma.StartValue - address) >> PageGeometry.PageShift);
        ulong size = vma.EndValue - address;
        bool locks = (vma.Flags & VmaFlags.Locked) != 0;
        if ((ulong)grow > vma.PgOff || !MayExpand(vma.Flags, grow) || size > Limits.Stack || (locks && !MayLock(grow)) || !_spaces.Commit.Charge(this, grow, Limits.IsAdmin))
        {
            return Errno.ENOMEM;
        }

        Account(vma.Flags, grow);
        if ((vma.Flags & VmaFlags.Account) == 0)
        {
            _spaces.Commit.Uncharge(grow);
        }

        LockedPages += locks ? grow : 0;
        vma.PgOff -= (ulong)grow;
        VmaTree.Resize(vma, address, vma.EndValue);
        return Errno.None;
    }
}
