using System.Globalization;

namespace MemSim;

/// <summary>A page frame number: a physical address divided by the page size (4 KiB).</summary>
/// <param name="Value">The number of the frame; frame 0 starts at physical address 0.</param>
/// <remarks>Not an address and not an index into the memory map of one zone. Counterpart: the kernel's <c>unsigned long pfn</c>.</remarks>
public readonly record struct Pfn(long Value) : IComparable<Pfn>
{
    /// <summary>The physical address of the first byte of the frame.</summary>
    public PhysicalAddress PhysicalAddress => new((ulong)Value << PageGeometry.PageShift);

    /// <inheritdoc/>
    public int CompareTo(Pfn other) => Value.CompareTo(other.Value);

    /// <summary>The frame <paramref name="pages"/> further on.</summary>
    public static Pfn operator +(Pfn pfn, long pages) => new(pfn.Value + pages);

    /// <summary>The distance between two frames in pages.</summary>
    public static long operator -(Pfn left, Pfn right) => left.Value - right.Value;

    /// <summary>The number in the kernel's hexadecimal form, e.g. <c>0x62ce</c>.</summary>
    public override string ToString() => "0x" + Value.ToString("x", CultureInfo.InvariantCulture);
}

/// <summary>An address on the memory bus, in bytes. Not something a CPU can load from directly: see <see cref="VirtualAddress"/>.</summary>
/// <param name="Value">Bytes from the start of the physical address space.</param>
public readonly record struct PhysicalAddress(ulong Value) : IComparable<PhysicalAddress>
{
    /// <summary>The frame that holds this address.</summary>
    public Pfn Pfn => new((long)(Value >> PageGeometry.PageShift));

    /// <inheritdoc/>
    public int CompareTo(PhysicalAddress other) => Value.CompareTo(other.Value);

    /// <summary>The address <paramref name="bytes"/> further on.</summary>
    public static PhysicalAddress operator +(PhysicalAddress address, ulong bytes) => new(address.Value + bytes);

    /// <summary>The address as 16 hexadecimal digits with prefix.</summary>
    public override string ToString() => "0x" + Value.ToString("x16", CultureInfo.InvariantCulture);
}

/// <summary>An address as the simulated kernel uses it: of the direct map, vmalloc space or a process. Never a host address.</summary>
/// <param name="Value">The address in bytes; 0 is the null address.</param>
public readonly record struct VirtualAddress(ulong Value) : IComparable<VirtualAddress>
{
    /// <summary>The null address: what an allocation returns that found no memory.</summary>
    public static VirtualAddress Null => default;

    /// <summary>Whether this is the null address.</summary>
    public bool IsNull => Value == 0;

    /// <inheritdoc/>
    public int CompareTo(VirtualAddress other) => Value.CompareTo(other.Value);

    /// <summary>The address <paramref name="bytes"/> further on.</summary>
    public static VirtualAddress operator +(VirtualAddress address, long bytes) => new(address.Value + (ulong)bytes);

    /// <summary>The address <paramref name="bytes"/> further on.</summary>
    public static VirtualAddress operator +(VirtualAddress address, ulong bytes) => new(address.Value + bytes);

    /// <summary>The distance between two addresses in bytes.</summary>
    public static long operator -(VirtualAddress left, VirtualAddress right) => (long)(left.Value - right.Value);

    /// <summary>The address as hexadecimal digits without prefix, as the kernel's <c>%px</c> prints it.</summary>
    public override string ToString() => Value.ToString("x16", CultureInfo.InvariantCulture);
}

/// <summary>An amount of memory in bytes, with the kernel's way of writing one: <c>512M</c>, <c>2G</c>, <c>0x1000</c>, <c>64K</c>.</summary>
/// <param name="Bytes">The amount in bytes.</param>
public readonly record struct ByteSize(ulong Bytes) : IComparable<ByteSize>
{
    /// <summary>The amount in whole pages of 4 KiB, rounded down.</summary>
    public long Pages => (long)(Bytes >> PageGeometry.PageShift);

    /// <summary>So many KiB.</summary>
    public static ByteSize FromKiB(ulong kib) => new(kib << 10);

    /// <summary>So many MiB.</summary>
    public static ByteSize FromMiB(ulong mib) => new(mib << 20);

    /// <summary>So many GiB.</summary>
    public static ByteSize FromGiB(ulong gib) => new(gib << 30);

    /// <summary>So many pages of 4 KiB.</summary>
    public static ByteSize FromPages(long pages) => new((ulong)pages << PageGeometry.PageShift);

    /// <summary>Reads an amount as the kernel's <c>memparse()</c> does: decimal, <c>0x</c> or leading-zero octal digits and one of K, M, G, T, P, E.</summary>
    /// <param name="text">The text, e.g. <c>1536M</c>.</param>
    /// <exception cref="FormatException">The text is not a number with an optional suffix, or does not fit into 64 bits.</exception>
    public static ByteSize Parse(string text) =>
        TryParse(text, out ByteSize size) ? size : throw new FormatException($"'{text}' is not an amount of memory (digits and one of K, M, G, T, P, E)");

    /// <summary>Reads an amount as <see cref="Parse"/> does, without an exception.</summary>
    /// <param name="text">The text.</param>
    /// <param name="size">The amount, or 0.</param>
    /// <returns>Whether the text was an amount.</returns>
    public static bool TryParse(string? text, out ByteSize size)
    {
        size = default;
        if (string.IsNullOrEmpty(text))
        {
            return false;
        }

        int shift = char.ToUpperInvariant(text[^1]) switch { 'K' => 10, 'M' => 20, 'G' => 30, 'T' => 40, 'P' => 50, 'E' => 60, _ => 0 };
        ReadOnlySpan<char> digits = text.AsSpan(0, text.Length - (shift == 0 ? 0 : 1));
        if (text.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
        {
            // Hexadecimal eats a trailing 'e' as a digit, as memparse() does.
            if (shift == 60)
            {
                shift = 0;
                digits = text;
            }

            digits = digits[2..];
            if (!ulong.TryParse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong hex))
            {
                return false;
            }

            return Shift(hex, shift, out size);
        }

        return ulong.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out ulong value) && Shift(value, shift, out size);
    }

    private static bool Shift(ulong value, int shift, out ByteSize size)
    {
        size = new(value << shift);
        return value << shift >> shift == value;
    }

    /// <summary>The amount from its text, so that <c>"2G"</c> can stand where a size is wanted.</summary>
    public static implicit operator ByteSize(string text) => Parse(text);

    /// <inheritdoc/>
    public int CompareTo(ByteSize other) => Bytes.CompareTo(other.Bytes);

    /// <summary>The largest whole unit: <c>2G</c>, <c>1536M</c>, <c>100</c>.</summary>
    public override string ToString()
    {
        if (Bytes == 0)
        {
            return "0";
        }

        (int shift, string unit) = (Bytes & ((1UL << 30) - 1)) == 0 ? (30, "G") : (Bytes & ((1UL << 20) - 1)) == 0 ? (20, "M") : (Bytes & 1023) == 0 ? (10, "K") : (0, "");
        return (Bytes >> shift).ToString(CultureInfo.InvariantCulture) + unit;
    }
}
