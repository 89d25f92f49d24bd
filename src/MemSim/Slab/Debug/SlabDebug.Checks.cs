namespace MemSim.Slab;

/// <content>The bytes that must be as they were left.</content>
internal sealed partial class SlabDebug
{
    /// <summary>Checks what surrounds an object, and a free object itself (<c>check_object()</c>). Reports the first damage and restores it.</summary>
    /// <returns>Whether everything is as it should be.</returns>
    private bool CheckObject(Cpu cpu, KmemCache cache, int head, uint index, byte red)
    {
        if (!_machine.Ram.HasContents)
        {
            return true;
        }

        CacheLayout layout = cache.Layout;
        int behind = cache.InUse - cache.ObjectSize;
        if ((layout.Flags & SlabFlags.RedZone) != 0)
        {
            if (!CheckBytes(cpu, cache, head, index, -layout.RedLeftPad, layout.RedLeftPad, red, "Left Redzone")
                || !CheckBytes(cpu, cache, head, index, cache.ObjectSize, behind, red, "Right Redzone"))
            {
                return false;
            }
        }
        else if ((layout.Flags & SlabFlags.Poison) != 0 && !CheckBytes(cpu, cache, head, index, cache.ObjectSize, behind, PoisonInUse, "Alignment padding"))
        {
            return false;
        }

        if ((layout.Flags & SlabFlags.Poison) == 0)
        {
            return true;
        }

        if (red == RedInactive && (layout.Flags & SlabFlags.ObjectPoison) != 0
            && (!CheckBytes(cpu, cache, head, index, 0, cache.ObjectSize - 1, PoisonFree, "Poison")
                || !CheckBytes(cpu, cache, head, index, cache.ObjectSize - 1, 1, PoisonEnd, "End Poison")))
        {
            return false;
        }

        int end = MetadataEnd(cache);
        return CheckBytes(cpu, cache, head, index, end, cache.Size - layout.RedLeftPad - end, PoisonInUse, "Object padding");
    }

    /// <summary>Checks bytes at an offset from an object; what differs is reported and restored.</summary>
    private bool CheckBytes(Cpu cpu, KmemCache cache, int head, uint index, int offset, int length, byte expected, string what)
    {
        ulong start = _memory[head].AddressOf(index) + (ulong)offset;
        for (int done = 0; done < length;)
        {
            ulong at = start + (ulong)done;
            int piece = (int)Math.Min(length - done, PageGeometry.PageSize - (long)((at - _memory.FrameZero) & (PageGeometry.PageSize - 1)));
            Span<byte> bytes = SlabContents.Span(_machine, at, piece);
            int first = bytes.IndexOfAnyExcept(expected);
            if (first >= 0)
            {
                // As the kernel: up to the last wrong byte, so that the range reported is the damage.
                int last = bytes.LastIndexOfAnyExcept(expected);
                string report = DescribeDamage(cpu, cache, head, index, at + (ulong)first, last - first + 1, bytes[first], expected, what);
                bytes.Slice(first, last - first + 1).Fill(expected);
                _machine.Bugs.Raise(KernelBugKind.Overwritten, $"BUG {cache.Name} (Not tainted): {what} overwritten", report, PageOf(head));
                return false;
            }

            done += piece;
        }

        return true;
    }

    private Page PageOf(int head) => new(_machine, head);
}
