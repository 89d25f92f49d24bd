using MemSim.Pages;

namespace MemSim.Slab;

/// <summary>kmalloc objects beyond the size classes: compound pages straight from the page allocator (<c>kmalloc_large()</c>).</summary>
internal static class LargeObjects
{
    /// <summary>In the first frame's index: the block is a kmalloc object, not a page somebody allocated. Any free overwrites it.</summary>
    private const uint Mark = 0x6b6d616c;

    public static bool Is(Machine machine, int pfn)
    {
        ref PageFrame frame = ref machine.Frames.Array[pfn];
        return frame.Index == Mark && frame.RefCount != 0 && frame.IsCompoundHead;
    }

    /// <summary>Makes an ordinary block of an object.</summary>
    public static void Forget(Machine machine, int pfn)
    {
        if (Is(machine, pfn))
        {
            machine.Frames.Array[pfn].Index = 0;
        }
    }

    /// <returns>The address, or 0.</returns>
    public static ulong Allocate(Cpu cpu, SlabAllocator allocator, long size, Gfp gfp, int node)
    {
        Machine machine = cpu.Machine;
        int order = SlabRules.OrderOf(size);
        if (size > SlabRules.MaxSize)
        {
            return 0;
        }

        Gfp flags = gfp | Gfp.Comp;
        int head = node < 0 ? machine.Pages.Allocate(cpu, flags, order) : machine.Pages.AllocateChecked(cpu, flags, order, machine.GetNode(node));
        if (head < 0)
        {
            return 0;
        }

        ref PageFrame frame = ref machine.Frames.Array[head];
        frame.Index = Mark;
        allocator.Pages.Account(SlabFlags.None, machine.Zones[frame.ZoneId].Node.Id, 1L << order);
        return machine.Addresses.AddressOf(head).Value;
    }

    public static void Free(Cpu cpu, SlabAllocator allocator, int head)
    {
        Machine machine = cpu.Machine;
        ref PageFrame frame = ref machine.Frames.Array[head];
        int order = frame.Order;
        frame.Index = 0;
        allocator.Pages.Account(SlabFlags.None, machine.Zones[frame.ZoneId].Node.Id, -(1L << order));
        machine.Pages.FreeBlock(cpu, head, order);
    }
}
