using System.Numerics;
using System.Runtime.CompilerServices;
using MemSim.Benchmarks.Harness;

namespace MemSim.Benchmarks.Operations;

/// <summary>The loops over the page allocator; one operation is an allocation together with its free.</summary>
internal static class PagePatterns
{
    public const int BulkPages = 128;

    private const int LargestMixedOrder = 9;

    public static int MixedOrder(ulong random) => Math.Min(LargestMixedOrder, BitOperations.TrailingZeroCount(random));

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Pair(PageState state, int order, int turns)
    {
        Cpu cpu = state.Cpu;
        for (int i = 0; i < turns; i++)
        {
            Page page = cpu.AllocPages(Gfp.Kernel, order);
            cpu.FreePages(page, order);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void PairOnNode(PageState state, int node, int turns)
    {
        Cpu cpu = state.Cpu;
        for (int i = 0; i < turns; i++)
        {
            Page page = cpu.Pages.AllocPagesNode(node, Gfp.Kernel);
            cpu.FreePages(page);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void ZeroedPair(PageState state, int turns)
    {
        Cpu cpu = state.Cpu;
        for (int i = 0; i < turns; i++)
        {
            cpu.FreePage(cpu.GetZeroedPage(Gfp.Kernel));
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void BatchFifo(PageState state, int turns)
    {
        Cpu cpu = state.Cpu;
        Page[] pages = state.Pages;
        for (int turn = 0; turn < turns; turn++)
        {
            for (int i = 0; i < pages.Length; i++)
            {
                pages[i] = cpu.AllocPages(Gfp.Kernel);
            }

            for (int i = 0; i < pages.Length; i++)
            {
                cpu.FreePages(pages[i]);
            }
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void BatchRandom(PageState state, int turns)
    {
        Cpu cpu = state.Cpu;
        Page[] pages = state.Pages;
        int[] shuffle = state.Shuffle;
        for (int turn = 0; turn < turns; turn++)
        {
            for (int i = 0; i < pages.Length; i++)
            {
                pages[i] = cpu.AllocPages(Gfp.Kernel);
            }

            for (int i = 0; i < shuffle.Length; i++)
            {
                cpu.FreePages(pages[shuffle[i]]);
            }
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void Bulk(PageState state, int turns)
    {
        Cpu cpu = state.Cpu;
        Span<Page> pages = state.Pages.AsSpan(0, BulkPages);
        for (int turn = 0; turn < turns; turn++)
        {
            pages.Clear();
            int got = cpu.Pages.AllocPagesBulk(Gfp.Kernel, pages);

            // As the kernel's callers do: what the bulk call left out is asked for one by one.
            for (; got < pages.Length; got++)
            {
                pages[got] = cpu.AllocPages(Gfp.Kernel);
            }

            foreach (Page page in pages)
            {
                cpu.FreePages(page);
            }
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void ChurnMixed(PageState state, int turns)
    {
        Cpu cpu = state.Cpu;
        Page[] pages = state.Pages;
        byte[] orders = state.Orders;
        Xorshift64 random = state.Random;
        for (int i = 0; i < turns; i++)
        {
            int victim = random.Below(pages.Length);
            cpu.FreePages(pages[victim], orders[victim]);
            int order = MixedOrder(random.Next());
            pages[victim] = cpu.AllocPages(Gfp.Kernel, order);
            orders[victim] = (byte)order;
        }

        state.Random = random;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void ChurnSingle(PageState state, int turns)
    {
        Cpu cpu = state.Cpu;
        Page[] pages = state.Pages;
        Xorshift64 random = state.Random;
        for (int i = 0; i < turns; i++)
        {
            int victim = random.Below(pages.Length);
            cpu.FreePages(pages[victim]);
            pages[victim] = cpu.AllocPages(Gfp.Kernel);
        }

        state.Random = random;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    public static void ExhaustAndRecover(PageState state, int turns)
    {
        for (int turn = 0; turn < turns; turn++)
        {
            _ = Exhaust(state);
        }
    }

    /// <summary>Takes single pages until a request that may not wait fails, and frees all.</summary>
    /// <returns>How many there were.</returns>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static int Exhaust(PageState state)
    {
        Cpu cpu = state.Cpu;
        Page[] pages = state.Pages;
        int got = 0;
        while (true)
        {
            Page page = cpu.AllocPages(Gfp.NoWait | Gfp.NoWarn);
            if (page.IsNull)
            {
                break;
            }

            pages[got++] = page;
        }

        for (int i = 0; i < got; i++)
        {
            cpu.FreePages(pages[i]);
        }

        return got;
    }
}
