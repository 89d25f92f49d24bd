using System.Buffers.Binary;

namespace MemSim.CompressedMemory;

/// <summary>The LZO1X format as its first level writes it: what zswap takes unless told otherwise.</summary>
internal sealed class LzoCompressor() : PageCompressor(KernelName)
{
    public const string KernelName = "lzo";

    private const int HashBits = 13;
    private const int ShortestMatch = 4;
    private const int Margin = 20;
    private const int StepShift = 5;
    private const int NearDistance = 0x800;
    private const int LongestNear = 8;
    private const int LongestInCode = 33;
    private const byte FarCode = 0x20;
    private const int FirstRunBase = 17;
    private const int LongestFirstRun = 238;
    private const byte EndCode = 0x11;

    private readonly ushort[] _places = new ushort[1 << HashBits];

    public override int Compress(ReadOnlySpan<byte> page, Span<byte> into)
    {
        Array.Clear(_places);
        int end = page.Length - Margin;
        int written = 0;
        int anchor = 0;
        int at = ShortestMatch;
        while (at < end)
        {
            uint bytes = Read(page, at);
            ref ushort place = ref _places[(bytes * 0x1824429d) >> (32 - HashBits)];
            int match = place;
            place = (ushort)at;
            if (match >= at || Read(page, match) != bytes)
            {
                at += 1 + ((at - anchor) >> StepShift);
                continue;
            }

            WriteLiterals(into, ref written, page[anchor..at]);
            int length = LengthOf(page, match, at, end);
            WriteMatch(into, ref written, length, at - match);
            at += length;
            anchor = at;
        }

        WriteLiterals(into, ref written, page[anchor..]);
        into[written++] = EndCode;
        into[written++] = 0;
        into[written++] = 0;
        return written;
    }

    public override bool TryDecompress(ReadOnlySpan<byte> from, Span<byte> page)
    {
        int next = 0;
        int at = 0;

        // How many literals came last, 4 for more than three: it decides what codes below 16 mean.
        int state = 0;
        if (from.Length != 0 && from[0] > FirstRunBase)
        {
            int first = from[next++] - FirstRunBase;
            if (!TryCopy(from, ref next, page, ref at, first))
            {
                return false;
            }

            state = Math.Min(first, ShortestMatch);
        }

        while (next < from.Length)
        {
            int code = from[next++];
            if (code < 16 && state == 0)
            {
                if (!TryReadLength(from, ref next, code, 15, out int run) || !TryCopy(from, ref next, page, ref at, run + 3))
                {
                    return false;
                }

                state = ShortestMatch;
                continue;
            }

            if (!TryReadMatch(from, ref next, code, state, out int distance, out int length, out int literals))
            {
                return false;
            }

            if (distance == 0)
            {
                return at == page.Length && next == from.Length;
            }

            if (!TryRepeat(page, ref at, distance, length) || !TryCopy(from, ref next, page, ref at, literals))
            {
                return false;
            }

            state = literals;
        }

        return false;
    }

    /// <summary>How long a match is: compared eight bytes at a time, it may reach a little behind the place where the search ends.</summary>
    private static int LengthOf(ReadOnlySpan<byte> page, int match, int at, int end)
    {
        const int step = sizeof(ulong);
        int length = ShortestMatch + CommonLength(page, match + ShortestMatch, at + ShortestMatch, page.Length);
        int steps = Math.Max(end - at - ShortestMatch + step - 1, 0) / step;
        return Math.Min(length, ShortestMatch + (steps * step));
    }

    /// <summary>Reads a match; a distance of 0 is the end.</summary>
    private static bool TryReadMatch(ReadOnlySpan<byte> from, ref int next, int code, int state, out int distance, out int length, out int literals)
    {
        (distance, length, literals) = (0, 0, code & 3);
        if (code is >= 16 and < 64)
        {
            int mask = code < 32 ? 7 : 31;
            if (!TryReadLength(from, ref next, code & mask, mask, out length) || from.Length - next < sizeof(ushort))
            {
                return false;
            }

            int word = BinaryPrimitives.ReadUInt16LittleEndian(from[next..]);
            next += sizeof(ushort);
            length += 2;
            literals = word & 3;
            int far = code < 32 ? 0x4000 + ((code & 8) << 11) : 1;
            distance = (word >> 2) + far;
            if (code < 32 && distance == 0x4000)
            {
                distance = 0;
            }

            return true;
        }

        if (next == from.Length)
        {
            return false;
        }

        int high = from[next++];
        (distance, length) = code switch
        {
            >= 128 => ((high << 3) + ((code >> 2) & 7) + 1, 5 + ((code >> 5) & 3)),
            >= 64 => ((high << 3) + ((code >> 2) & 7) + 1, 3 + ((code >> 5) & 1)),
            _ when state == ShortestMatch => ((high << 2) + (code >> 2) + NearDistance + 1, 3),
            _ => ((high << 2) + (code >> 2) + 1, 2),
        };
        return true;
    }

    private static void WriteLiterals(Span<byte> into, ref int written, ReadOnlySpan<byte> literals)
    {
        int count = literals.Length;
        if (count == 0)
        {
            return;
        }

        if (written == 0 && count <= LongestFirstRun)
        {
            into[written++] = (byte)(FirstRunBase + count);
        }
        else if (count <= 3 && written != 0)
        {
            // Into the two bits that the match before it left free.
            into[written - 2] |= (byte)count;
        }
        else if (count <= 18)
        {
            into[written++] = (byte)(count - 3);
        }
        else
        {
            into[written++] = 0;
            WriteRest(into, ref written, count - 18);
        }

        literals.CopyTo(into[written..]);
        written += count;
    }

    private static void WriteMatch(Span<byte> into, ref int written, int length, int distance)
    {
        distance--;
        if (length <= LongestNear && distance < NearDistance)
        {
            into[written++] = (byte)(((length - 1) << 5) | ((distance & 7) << 2));
            into[written++] = (byte)(distance >> 3);
            return;
        }

        if (length <= LongestInCode)
        {
            into[written++] = (byte)(FarCode | (length - 2));
        }
        else
        {
            into[written++] = FarCode;
            WriteRest(into, ref written, length - LongestInCode);
        }

        BinaryPrimitives.WriteUInt16LittleEndian(into[written..], (ushort)(distance << 2));
        written += sizeof(ushort);
    }

    private static void WriteRest(Span<byte> into, ref int written, int rest)
    {
        for (; rest > byte.MaxValue; rest -= byte.MaxValue)
        {
            into[written++] = 0;
        }

        into[written++] = (byte)rest;
    }

    private static bool TryReadLength(ReadOnlySpan<byte> from, ref int next, int bits, int mask, out int length)
    {
        length = bits;
        if (bits != 0)
        {
            return true;
        }

        length = mask;
        while (next < from.Length && length <= PageGeometry.PageSize)
        {
            byte more = from[next++];
            if (more != 0)
            {
                length += more;
                return true;
            }

            length += byte.MaxValue;
        }

        return false;
    }

    private static uint Read(ReadOnlySpan<byte> page, int at) => BinaryPrimitives.ReadUInt32LittleEndian(page[at..]);
}
