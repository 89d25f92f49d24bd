namespace MemSim.Slab;

/// <summary>The bytes of objects, where the machine has contents of RAM.</summary>
internal static class SlabContents
{
    /// <summary>The bytes from an address of the direct map on.</summary>
    public static Span<byte> Span(Machine machine, ulong address, int length) => machine.Ram.Range(address - machine.Addresses.AddressOf(0).Value, length);

    /// <summary>As <see cref="Span"/>, for callers outside the library.</summary>
    public static Span<byte> Lend(Machine machine, ulong address, int length) => machine.Ram.Lend(address - machine.Addresses.AddressOf(0).Value, length);

    /// <summary>Fills bytes; without contents nothing happens.</summary>
    public static void Fill(Machine machine, ulong address, int length, byte value)
    {
        if (!machine.Ram.HasContents)
        {
            return;
        }

        while (length > 0)
        {
            ulong offset = address - machine.Addresses.AddressOf(0).Value;
            int piece = (int)Math.Min(length, PageGeometry.PageSize - (long)(offset & (PageGeometry.PageSize - 1)));
            Span(machine, address, piece).Fill(value);
            address += (ulong)piece;
            length -= piece;
        }
    }

    /// <summary>Copies bytes between objects; without contents nothing happens.</summary>
    public static void Copy(Machine machine, ulong from, ulong to, long length)
    {
        if (!machine.Ram.HasContents)
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

    private static long LeftInPage(Machine machine, ulong address) => PageGeometry.PageSize - (long)((address - machine.Addresses.AddressOf(0).Value) & (PageGeometry.PageSize - 1));
}
