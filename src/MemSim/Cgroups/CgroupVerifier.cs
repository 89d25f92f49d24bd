using MemSim.Diagnostics;
using MemSim.Pages;

namespace MemSim.Cgroups;

/// <summary>Checks that what is charged is what there is.</summary>
internal static class CgroupVerifier
{
    /// <summary>Counts the frames and slots of each cgroup and compares; says the first thing wrong.</summary>
    public static void Verify(Machine machine)
    {
        CgroupTree tree = machine.Cgroups;
        if (!tree.IsUsed)
        {
            return;
        }

        long[] user = new long[FrameCgroups.MaxId + 1];
        long[] kernel = new long[FrameCgroups.MaxId + 1];
        Count(machine, tree, user, kernel);
        long[] slots = machine.Swap.SlotsByCgroup(FrameCgroups.MaxId + 1);
        List<Cgroup> all = [.. tree.All()];
        for (int i = all.Count - 1; i >= 0; i--)
        {
            if (!all[i].IsRoot)
            {
                VerifyOne(machine, tree, all[i], user[all[i].Id], kernel[all[i].Id], slots[all[i].Id]);
            }
        }
    }

    private static void VerifyOne(Machine machine, CgroupTree tree, Cgroup cgroup, long user, long kernel, long slots)
    {
        if (cgroup.ChargedFrames != user + kernel)
        {
            Fail(cgroup, $"{cgroup.ChargedFrames} pages are counted as charged, but {user + kernel} name it");
        }

        if (cgroup.KernelPages != kernel + cgroup.SlabPages)
        {
            Fail(cgroup, $"{cgroup.KernelPages} pages are counted as the kernel's, but there are {kernel} of {cgroup.SlabPages} more for objects");
        }

        if (cgroup.ChargedSlots != slots)
        {
            Fail(cgroup, $"{cgroup.ChargedSlots} swap slots are counted as charged, but {slots} name it");
        }

        long objects = cgroup.ReclaimableSlabBytes + cgroup.UnreclaimableSlabBytes + cgroup.CompressedBytes + tree.ObjectStockOf(cgroup);
        if (objects != cgroup.SlabPages << PageGeometry.PageShift)
        {
            Fail(cgroup, $"{objects} bytes of objects and of stocks for them are charged by {cgroup.SlabPages} pages");
        }

        long below = 0;
        long swapBelow = 0;
        foreach (Cgroup child in cgroup.Below)
        {
            below += child.Memory.Usage;
            swapBelow += child.Swap.Usage;
        }

        long memory = user + kernel + cgroup.SlabPages + tree.StockOf(cgroup) + below;
        if (cgroup.Memory.Usage != memory)
        {
            Fail(cgroup, $"memory.current is {cgroup.Memory.Usage} pages, but {memory} are charged: {user} of user space, {kernel} of the kernel, {cgroup.SlabPages} for objects, {tree.StockOf(cgroup)} ahead, {below} below it");
        }

        if (cgroup.Swap.Usage != slots + swapBelow)
        {
            Fail(cgroup, $"memory.swap.current is {cgroup.Swap.Usage} pages, but {slots + swapBelow} slots are charged");
        }

        if (cgroup.Memory.Peak < cgroup.Memory.Usage)
        {
            Fail(cgroup, $"memory.peak is {cgroup.Memory.Peak} pages and memory.current {cgroup.Memory.Usage}");
        }

        _ = machine;
    }

    private static void Count(Machine machine, CgroupTree tree, long[] user, long[] kernel)
    {
        for (int pfn = tree.NextCharged(0); pfn >= 0; pfn = tree.NextCharged(pfn + 1))
        {
            int id = machine.Hooks.Charges!.IdOf(pfn);
            if (id == 0)
            {
                continue;
            }

            machine.Frames.Untouched.Touch(pfn);
            ref PageFrame frame = ref machine.Frames.Array[pfn];
            if (frame.RefCount == 0)
            {
                BugReporter.Corrupt($"pfn 0x{pfn:x} is charged to cgroup {id} but not allocated");
            }

            if (tree.OfOrNull(id) is null)
            {
                BugReporter.Corrupt($"pfn 0x{pfn:x} is charged to cgroup {id}, which is gone");
            }

            (tree.KindOf(pfn) == ChargeKind.User ? user : kernel)[id] += 1L << frame.Order;
        }
    }

    private static void Fail(Cgroup cgroup, string what) => BugReporter.Corrupt($"cgroup {cgroup.Path}: {what}");
}
