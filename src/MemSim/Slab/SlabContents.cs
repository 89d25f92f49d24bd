using System.Runtime.InteropServices;

namespace MemSim.Slab;

/// <summary>The bytes of objects, where the machine has contents of RAM.</summary>
internal static class SlabContents
{
    /// <summary>Frames whose contents lie in one piece of host memory: <see cref="Hardware.PhysicalMemory"/> takes it in runs of this many frames, aligned to their length.</summary>
    private const int RunFrames = 512;

    /// <summary>The bytes from an address of the direct map on; all of them must lie in one run of frames.</summary>
    public static Span<byte> Span(Machine machine, ulong address, int length)
    {
        ulong offset = address - machine.AddressOf(0).Value;
        long pfn = (long)(offset >> PageGeometry.PageShift);
        int inPage = (int)(offset & (PageGeometry.PageSize - 1));
        if (((long)inPage + length) > ((RunFrames - (pfn & (RunFrames - 1))) << PageGeometry.PageShift))
        {
            throw new ArgumentOutOfRangeException(nameof(length), length, $"{length} bytes at {new VirtualAddress(address)} cross a 2 MiB boundary: take them in two pieces");
        }

        // In range: the frames of a run are adjacent in host memory, and the length ends inside the run.
        return MemoryMarshal.CreateSpan(ref MemoryMarshal.GetReference(machine.Memory.Frame(pfn)[inPage..]), length);
    }

    /// <summary>Fills bytes; without contents nothing happens.</summary>
    public static void Fill(Machine machine, ulong address, int length, byte value)
    {
        if (!machine.Memory.HasContents)
        {
            return;
        }

        while (length > 0)
        {
            ulong offset = address - machine.AddressOf(0).Value;
            int piece = (int)Math.Min(length, PageGeometry.PageSize - (long)(offset & (PageGeometry.PageSize - 1)));
            Span(machine, address, piece).Fill(value);
            address += (ulong)piece;
            length -= piece;
        }
    }

    /// <summary>Copies bytes between objects; without contents nothing happens.</summary>
    public static void Copy(Machine machine, ulong from, ulong to, long length)
    {
        if (!machine.Memory.HasContents)
        {
            return;
        }

        for (long done = 0; done < length;)
        {
            int piece = (int)Math.Min(length - done, Math.Min(LeftInPage(machine, from + (ulong)done), LeftInPage(machine, to + (ulong)done)));
            Span(machine, from + (ulong)done, piece).CopyTo(Span(machine, to + (ulong)done, piece));
            done += piece;
        }
    }

    private static long LeftInPage(Machine machine, ulong address) => PageGeometry.PageSize - (long)((address - machine.AddressOf(0).Value) & (PageGeometry.PageSize - 1));
}
