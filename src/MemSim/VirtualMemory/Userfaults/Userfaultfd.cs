using MemSim.Lru;
using MemSim.VirtualMemory;

namespace MemSim;

/// <summary>Faults of a process that a program serves instead of the kernel (<c>userfaultfd(2)</c>): post-copy migration, restoring snapshots on demand, write tracking.</summary>
/// <remarks>
/// <see cref="MemoryDescriptor.OpenUserfaultfd"/> makes one. What a monitor thread would read from the descriptor is told to <see cref="Handler"/>, inside the fault: it serves the fault with the calls
/// here, and the access is made again. Areas of hugetlb pools cannot be registered here; transparent huge pages do not arise in registered areas.
/// </remarks>
public sealed partial class Userfaultfd
{
    private const ulong PageMask = PageGeometry.PageSize - 1;
    private const VmaFlags AllModes = VmaFlags.UserfaultMissing | VmaFlags.UserfaultProtect | VmaFlags.UserfaultMinor;
    private readonly MemoryDescriptor _mm;
    private readonly AddressSpaces _spaces;

    internal Userfaultfd(MemoryDescriptor mm, UserfaultFeatures features)
    {
        _mm = mm;
        _spaces = mm.Spaces;
        Features = features | ((features & UserfaultFeatures.ProtectsSilently) != 0 ? UserfaultFeatures.ProtectsUnpopulated : 0);
    }

    /// <summary>How it was opened.</summary>
    public UserfaultFeatures Features { get; }

    /// <summary>Serves faults: true to have the access made again, false where it cannot be served (SIGBUS). A fault that nobody serves would sleep for ever: it is an exception.</summary>
    public Func<Userfault, bool>? Handler { get; set; }

    /// <summary>Faults told to <see cref="Handler"/>.</summary>
    public long Faults { get; internal set; }

    /// <summary>Asks to be told of faults in a range (<c>UFFDIO_REGISTER</c>). A part registered with fewer modes before gets these instead.</summary>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="length">Bytes, whole pages.</param>
    /// <param name="modes">Which faults.</param>
    /// <returns>What can be done with the range; EINVAL, also for files of disks (which can only be protected, by <see cref="UserfaultFeatures.ProtectsSilently"/>) and where nothing is mapped; EPERM where the process could not write; EBUSY where another descriptor is registered; ENOMEM.</returns>
    public Result<UserfaultCalls> Register(VirtualAddress address, long length, UserfaultModes modes)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        const UserfaultModes known = UserfaultModes.Missing | UserfaultModes.Protected | UserfaultModes.Minor;
        if (_mm.IsGone)
        {
            return Errno.ESRCH;
        }

        if (modes == 0 || (modes & ~known) != 0 || ((modes & UserfaultModes.Protected) != 0 && !_spaces.Layout.CanProtect)
            || ((modes & UserfaultModes.Minor) != 0 && _spaces.Layout.Is32Bit) || !IsRange(address.Value, length, out ulong end))
        {
            return Errno.EINVAL;
        }

        VmaFlags wanted = FlagsOf(modes);
        Errno error = CheckAreas(address.Value, end, wanted, registers: true);
        if (error != Errno.None)
        {
            return error;
        }

        for (Vma? vma = _mm.Tree.FindIntersection(address.Value, end); vma is not null && vma.StartValue < end; vma = vma.Next)
        {
            if (ReferenceEquals(vma.Userfaults, this) && (vma.Flags & wanted) == wanted)
            {
                continue;
            }

            Vma? changed = _mm.SetUserfaults(Cpu, vma, Math.Max(vma.StartValue, address.Value), Math.Min(vma.EndValue, end), (vma.Flags & ~AllModes) | wanted, this);
            if (changed is null)
            {
                return Errno.ENOMEM;
            }

            vma = changed;
        }

        return UserfaultCalls.Wake | UserfaultCalls.Copy | UserfaultCalls.ZeroPage
            | (_spaces.Rules.UserfaultMoves ? UserfaultCalls.Move : 0) | (_spaces.Rules.UserfaultPoisons ? UserfaultCalls.Poison : 0)
            | ((modes & UserfaultModes.Protected) != 0 ? UserfaultCalls.WriteProtect : 0) | ((modes & UserfaultModes.Minor) != 0 ? UserfaultCalls.Continue : 0);
    }

    /// <summary>Leaves a range alone from now on (<c>UFFDIO_UNREGISTER</c>); protected pages can be written again.</summary>
    /// <param name="address">The first address, page aligned.</param>
    /// <param name="length">Bytes, whole pages.</param>
    /// <returns>EINVAL, ENOMEM.</returns>
    public Errno Unregister(VirtualAddress address, long length)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (_mm.IsGone)
        {
            return Errno.ESRCH;
        }

        if (!IsRange(address.Value, length, out ulong end))
        {
            return Errno.EINVAL;
        }

        Errno error = CheckAreas(address.Value, end, 0, registers: false);
        return error != Errno.None ? error : Leave(address.Value, end);
    }

    /// <summary>Closes the descriptor: all that is registered with it is left alone.</summary>
    public void Close()
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (!_mm.IsGone)
        {
            _ = Leave(0, _spaces.Addresses.TaskSize);
        }
    }

    internal static VmaFlags FlagsOf(UserfaultModes modes) =>
        ((modes & UserfaultModes.Missing) != 0 ? VmaFlags.UserfaultMissing : 0) | ((modes & UserfaultModes.Protected) != 0 ? VmaFlags.UserfaultProtect : 0)
        | ((modes & UserfaultModes.Minor) != 0 ? VmaFlags.UserfaultMinor : 0);

    private Cpu Cpu => _spaces.Machine.CpuTable.CallersCpu(_mm.Owner?.RunsOn);

    private Errno Leave(ulong start, ulong end)
    {
        for (Vma? vma = _mm.Tree.FindIntersection(start, end); vma is not null && vma.StartValue < end; vma = vma.Next)
        {
            if (!ReferenceEquals(vma.Userfaults, this))
            {
                continue;
            }

            ulong from = Math.Max(vma.StartValue, start);
            ulong to = Math.Min(vma.EndValue, end);
            if ((vma.Flags & VmaFlags.UserfaultProtect) != 0)
            {
                Protect(vma, from, to, protects: false);
            }

            Vma? changed = _mm.SetUserfaults(Cpu, vma, from, to, vma.Flags & ~AllModes, null);
            if (changed is null)
            {
                return Errno.ENOMEM;
            }

            vma = changed;
        }

        return Errno.None;
    }

    /// <summary>Whether all areas of a range can be registered, or have been (<c>vma_can_userfault()</c>); holes are passed over.</summary>
    private Errno CheckAreas(ulong start, ulong end, VmaFlags wanted, bool registers)
    {
        Vma? vma = _mm.Tree.FindIntersection(start, end);
        if (vma is null)
        {
            return Errno.EINVAL;
        }

        for (; vma is not null && vma.StartValue < end; vma = vma.Next)
        {
            bool shmem = vma.Mapping is { IsShmem: true };
            bool anyKind = (Features & UserfaultFeatures.ProtectsSilently) != 0 && ((registers ? wanted : vma.Flags) & AllModes) == VmaFlags.UserfaultProtect;
            if (vma.Hugetlb is not null || vma.MapsFrames || (vma.File is not null && !shmem && !anyKind) || ((wanted & VmaFlags.UserfaultMinor) != 0 && !shmem))
            {
                return Errno.EINVAL;
            }

            bool others = vma.Userfaults is { } owner && !ReferenceEquals(owner, this);
            if (registers && (vma.Flags & VmaFlags.MayWrite) == 0)
            {
                return Errno.EPERM;
            }

            if (others)
            {
                return registers ? Errno.EBUSY : Errno.EINVAL;
            }
        }

        return Errno.None;
    }

    /// <summary>Checks a range as all these calls do (<c>validate_range()</c>).</summary>
    private bool IsRange(ulong start, long length, out ulong end)
    {
        end = start + (ulong)length;
        return (start & PageMask) == 0 && IsSource(start, length);
    }

    private bool IsSource(ulong start, long length) => ((ulong)length & PageMask) == 0 && length != 0 && start >= MemoryDescriptor.MinAddress
        && start < _spaces.Addresses.TaskSize && (ulong)length <= _spaces.Addresses.TaskSize - start;
}

/// <content>Faults that a program serves.</content>
public sealed partial class MemoryDescriptor
{
    /// <summary>Opens a descriptor through which faults of this address space are served (<c>userfaultfd()</c>, <c>UFFDIO_API</c>).</summary>
    /// <param name="features">How.</param>
    /// <returns>The descriptor; EPERM for one that takes the kernel's faults, too, or is told of forks, unless an administrator asks; EINVAL for features that the kernel does not have; ESRCH.</returns>
    public Result<Userfaultfd> OpenUserfaultfd(UserfaultFeatures features = UserfaultFeatures.None)
    {
        using OwnersLock.Scope scope = _spaces.Enter();
        if (IsGone)
        {
            return Errno.ESRCH;
        }

        const UserfaultFeatures events = UserfaultFeatures.TellsForks | UserfaultFeatures.TellsMoves | UserfaultFeatures.TellsRemoves | UserfaultFeatures.TellsUnmaps;
        UserfaultFeatures known = events | UserfaultFeatures.SigBus | UserfaultFeatures.UserModeOnly | (_spaces.Rules.UserfaultMoves ? UserfaultFeatures.ProtectsUnpopulated | UserfaultFeatures.ProtectsSilently : 0);
        if (((features & UserfaultFeatures.UserModeOnly) == 0 || (features & UserfaultFeatures.TellsForks) != 0) && !Limits.IsAdmin)
        {
            return Errno.EPERM;
        }

        return (features & ~known) != 0 ? Errno.EINVAL : new Userfaultfd(this, features);
    }

    /// <summary>Gives part of an area other modes and another descriptor.</summary>
    /// <returns>The area that holds the part; null without memory.</returns>
    internal Vma? SetUserfaults(Cpu cpu, Vma vma, ulong start, ulong end, VmaFlags flags, Userfaultfd? descriptor) => ChangeRange(cpu, vma, start, end, flags, vma.Policy, descriptor);
}
