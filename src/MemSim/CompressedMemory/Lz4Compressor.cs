using System.Buffers.Binary;

namespace MemSim.CompressedMemory;

/// <summary>The LZ4 block format, with the choice of matches that its fast mode makes: one candidate for each hash, longer steps the longer nothing is found.</summary>
internal sealed class Lz4Compressor() : PageCompressor(KernelName)
{
    public const string KernelName = "lz4";

    private const int HashBits = 13;
    private const int ShortestMatch = 4;
    private const int LastLiterals = 5;
    private const int LastMatchStart = 12;
    private const int StepShift = 6;
    private const int RunMask = 15;

    private readonly ushort[] _places = new ushort[1 << HashBits];

    public override int Compress(ReadOnlySpan<byte> page, Span<byte> into)
    {
        Array.Clear(_places);
        int limit = page.Length - LastMatchStart;
        int matchEnd = page.Length - LastLiterals;
        int written = 0;
        int anchor = 0;
        int at = 1;
        _places[Hash(page, 0)] = 0;
        while (TryFind(page, ref at, limit, out int match))
        {
            while (at > anchor && match > 0 && page[at - 1] == page[match - 1])
            {
                at--;
                match--;
            }

            ReadOnlySpan<byte> literals = page[anchor..at];
            do
            {
                int length = CommonLength(page, match + ShortestMatch, at + ShortestMatch, matchEnd);
                WriteSequence(into, ref written, literals, length, at - match);
                at += ShortestMatch + length;
                anchor = at;
                literals = default;
                if (at > limit)
                {
                    break;
                }

                _places[Hash(page, at - 2)] = (ushort)(at - 2);
                ref ushort place = ref _places[Hash(page, at)];
                match = place;
                place = (ushort)at;
            }
            while (Read(page, match) == Read(page, at));

            if (at > limit)
            {
                break;
            }

            at++;
        }

        WriteLength(into, ref written, page.Length - anchor, 0);
        page[anchor..].CopyTo(into[written..]);
        return written + page.Length - anchor;
    }

    public override bool TryDecompress(ReadOnlySpan<byte> from, Span<byte> page)
    {
        int next = 0;
        int at = 0;
        while (next < from.Length)
        {
            int token = from[next++];
            if (!TryReadLength(from, ref next, token >> 4, out int literals) || !TryCopy(from, ref next, page, ref at, literals))
            {
                return false;
            }

            if (next == from.Length)
            {
                return at == page.Length;
            }

            if (from.Length - next < sizeof(ushort))
            {
                return false;
            }

            int distance = BinaryPrimitives.ReadUInt16LittleEndian(from[next..]);
            next += sizeof(ushort);
            if (!TryReadLength(from, ref next, token & RunMask, out int length) || !TryRepeat(page, ref at, distance, length + ShortestMatch))
            {
                return false;
            }
        }

        return false;
    }

    /// <summary>Looks for four bytes that were there before.</summary>
    private bool TryFind(ReadOnlySpan<byte> page, ref int at, int limit, out int match)
    {
        int next = at;
        int tries = 1 << StepShift;
        int step = 1;
        while (true)
        {
            at = next;
            next += step;
            step = tries++ >> StepShift;
            match = 0;
            if (next > limit)
            {
                return false;
            }

            ref ushort place = ref _places[Hash(page, at)];
            match = place;
            place = (ushort)at;
            if (Read(page, match) == Read(page, at) && match < at)
            {
                return true;
            }
        }
    }

    private static void WriteSequence(Span<byte> into, ref int written, ReadOnlySpan<byte> literals, int length, int distance)
    {
        WriteLength(into, ref written, literals.Length, Math.Min(length, RunMask));
        literals.CopyTo(into[written..]);
        written += literals.Length;
        BinaryPrimitives.WriteUInt16LittleEndian(into[written..], (ushort)distance);
        written += sizeof(ushort);
        if (length >= RunMask)
        {
            WriteRest(into, ref written, length - RunMask);
        }
    }

    /// <summary>The token, and what of the number of literals does not fit into it.</summary>
    private static void WriteLength(Span<byte> into, ref int written, int literals, int matchBits)
    {
        into[written++] = (byte)((Math.Min(literals, RunMask) << 4) | matchBits);
        if (literals >= RunMask)
        {
            WriteRest(into, ref written, literals - RunMask);
        }
    }

    private static void WriteRest(Span<byte> into, ref int written, int rest)
    {
        for (; rest >= byte.MaxValue; rest -= byte.MaxValue)
        {
            into[written++] = byte.MaxValue;
        }

        into[written++] = (byte)rest;
    }

    private static bool TryReadLength(ReadOnlySpan<byte> from, ref int next, int bits, out int length)
    {
        length = bits;
        if (bits != RunMask)
        {
            return true;
        }

        while (next < from.Length && length <= PageGeometry.PageSize)
        {
            byte more = from[next++];
            length += more;
            if (more != byte.MaxValue)
            {
                return true;
            }
        }

        return false;
    }

    private static uint Read(ReadOnlySpan<byte> page, int at) => BinaryPrimitives.ReadUInt32LittleEndian(page[at..]);

    private static int Hash(ReadOnlySpan<byte> page, int at) => (int)((Read(page, at) * 2654435761u) >> (32 - HashBits));
}
