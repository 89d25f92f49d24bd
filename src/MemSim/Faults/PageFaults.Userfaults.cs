using MemSim.PageCache;

namespace MemSim.Faults;

/// <content>Faults that a program serves (<c>handle_userfault()</c>).</content>
internal sealed partial class PageFaults
{
    /// <summary>A fault where a file has a page that is not mapped, or has none: whether somebody is to be told.</summary>
    private static bool IsUserfault(Vma vma, ulong address, out UserfaultModes kind)
    {
        uint index = vma.IndexOf(address);
        FileMapping mapping = vma.Mapping!;
        bool there = mapping.IsInCore(index) || mapping.ValueAt(index) >= 0;
        kind = there ? UserfaultModes.Minor : UserfaultModes.Missing;
        return (vma.Flags & Userfaultfd.FlagsOf(kind)) != 0 && index < mapping.SizePages;
    }

    /// <summary>A fault on a page of a file that somebody watches: what is there already may be mapped, or is told, too.</summary>
    private FaultResult WatchedFault(Cpu cpu, Vma vma, ulong address, ulong slot, FaultFlags flags)
    {
        bool write = (flags & FaultFlags.Write) != 0;
        if (!write && (vma.Flags & (VmaFlags.UserfaultProtect | VmaFlags.UserfaultMinor)) == 0)
        {
            MapAround(cpu, vma, address);
            if (vma.Mm.Tables.ReadSlot(slot) != 0)
            {
                return FaultResult.NoPage;
            }
        }

        if (write && !vma.IsShared && !_spaces.Anon.Prepare(cpu, vma))
        {
            return FaultResult.Oom;
        }

        if (IsUserfault(vma, address, out UserfaultModes kind))
        {
            return TellUserfault(vma, address, kind, flags);
        }

        return !write ? ReadFaultOfOne(cpu, vma, address, slot) : vma.IsShared ? SharedFault(cpu, vma, address, slot) : PrivateCopyFault(cpu, vma, address, slot);
    }

    /// <summary>A write to a page whose descriptor need not hear of it: it is not protected any more. Whether it may be written is still to be seen.</summary>
    private ulong ReleaseSilently(Vma vma, ulong slot, ulong entry)
    {
        Story?.Add("a userfaultfd protected the page, and wants to know no more than that it was written");
        while (!vma.Mm.Tables.TryChangeSlot(slot, ref entry, _layout.Release(entry)))
        {
        }

        return _layout.Release(entry);
    }

    /// <summary>Tells the descriptor of a fault; when that was served the access is made again.</summary>
    private FaultResult TellUserfault(Vma vma, ulong address, UserfaultModes kind, FaultFlags flags)
    {
        Userfaultfd descriptor = vma.Userfaults!;
        bool programs = (flags & FaultFlags.User) != 0;
        if ((descriptor.Features & UserfaultFeatures.SigBus) != 0 || ((descriptor.Features & UserfaultFeatures.UserModeOnly) != 0 && !programs))
        {
            Story?.Add("a userfaultfd is registered, and wants SIGBUS");
            return FaultResult.SigBus;
        }

        if (descriptor.Handler is not { } handler || vma.Mm.Owner is not { } task)
        {
            throw new InvalidOperationException($"the fault at {address:x} waits for its userfaultfd for ever: nobody serves it (Userfaultfd.Handler)");
        }

        Story?.Add($"told to a userfaultfd ({kind})");
        descriptor.Faults++;
        return handler(new Userfault(task, new VirtualAddress(address), kind, (flags & FaultFlags.Write) != 0)) ? FaultResult.Retry : FaultResult.SigBus;
    }
}
