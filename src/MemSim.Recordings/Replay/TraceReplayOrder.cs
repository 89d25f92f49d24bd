using MemSim.Kernels;

namespace MemSim.Recordings.Replay;

/// <summary>Finds the frees of a recording that do not go to the CPU's list of single pages, which their events do not tell.</summary>
internal static class TraceReplayOrder
{
    /// <summary>log2 of the pages of a thread's stack.</summary>
    public const int StackOrder = 2;

    private const int StackPages = 1 << StackOrder;

    /// <summary>Where a frame is next taken from.</summary>
    private enum NextPlace : byte
    {
        Unknown,
        PcpList,
        FreeLists,
    }

    /// <summary>Marks what the rules of the recording's kernel make of its frees.</summary>
    public static void Mark(Span<TraceStepEvent> events, KernelPersonality kernel)
    {
        if (kernel.KernelMemory.ThreadStacks == ThreadStackRule.BlockFreedWhole)
        {
            MarkStacks(events);
        }

        if (kernel.Allocator.FreesPastHeldLists)
        {
            MarkPastLists(events);
        }
    }

    /// <summary>Four single frees by one task, one behind the other, of the pages of an aligned block that was taken whole or is not known to have been taken.</summary>
    private static void MarkStacks(Span<TraceStepEvent> events)
    {
        // Frames whose last allocation was a single page, so that they are no part of a stack.
        FrameMap<bool> single = new(false);
        for (int i = 0; i < events.Length; i++)
        {
            TraceStepEvent e = events[i];
            if (e.Step == TraceStep.Allocate)
            {
                for (int pfn = e.Pfn; pfn < e.Pfn + (1 << Math.Min((int)e.Order, StackOrder)); pfn++)
                {
                    single[pfn] = e.Order < StackOrder;
                }
            }
            else if (IsStack(events, i, single))
            {
                for (int part = 0; part < StackPages; part++)
                {
                    events[i + part] = events[i + part] with { Step = part == StackPages - 1 ? TraceStep.FreeWhole : TraceStep.FreePart };
                }

                i += StackPages - 1;
            }
        }
    }

    private static bool IsStack(ReadOnlySpan<TraceStepEvent> events, int first, FrameMap<bool> single)
    {
        TraceStepEvent e = events[first];
        if (first + StackPages > events.Length || (e.Pfn & (StackPages - 1)) != 0)
        {
            return false;
        }

        for (int part = 0; part < StackPages; part++)
        {
            TraceStepEvent page = events[first + part];
            if (page.Step != TraceStep.Free || page.Order != 0 || page.InInterrupt || page.Pid != e.Pid || page.Cpu != e.Cpu || page.Pfn != e.Pfn + part || single[page.Pfn])
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>
    /// From the back: the frees of an interrupt whose pages are taken from the free lists next, without having been drained, cannot have been in a list. All
    /// frees of one interrupt find the CPU's lists held, or none.
    /// </summary>
    private static void MarkPastLists(Span<TraceStepEvent> events)
    {
        FrameMap<NextPlace> next = new(NextPlace.Unknown);
        int refilled = 0;
        int taken = 0;
        for (int i = events.Length - 1; i >= 0; i--)
        {
            TraceStepEvent e = events[i];
            bool burst = e.Step == TraceStep.Free && e.InInterrupt;
            if (burst)
            {
                refilled += next[e.Pfn] == NextPlace.FreeLists ? 1 : 0;
                taken += next[e.Pfn] == NextPlace.PcpList ? 1 : 0;
            }

            if (burst && e.BeginsBurst)
            {
                MarkBurst(refilled > taken ? events[i..] : []);
                refilled = taken = 0;
            }

            switch (e.Step)
            {
                case TraceStep.Refill:
                    next[e.Pfn] = NextPlace.FreeLists;
                    break;
                case TraceStep.Allocate or TraceStep.Drain:
                    next[e.Pfn] = NextPlace.PcpList;
                    break;
                case TraceStep.Free or TraceStep.FreePrepared or TraceStep.FreePart or TraceStep.FreeWhole:
                    next[e.Pfn] = NextPlace.Unknown;
                    break;
                default:
                    break;
            }
        }
    }

    private static void MarkBurst(Span<TraceStepEvent> events)
    {
        for (int i = 0; i < events.Length && events[i].Step == TraceStep.Free && events[i].InInterrupt && (i == 0 || !events[i].BeginsBurst); i++)
        {
            events[i] = events[i] with { Step = TraceStep.FreePastLists };
        }
    }
}
