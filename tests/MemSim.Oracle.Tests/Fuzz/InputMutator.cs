using System.IO.Compression;
using System.Text;

namespace MemSim.Oracle.Tests.Fuzz;

/// <summary>Damages a file as accidents and enemies do: bytes, numbers, words and lines changed, lost, repeated, moved, mixed with another file, cut off. The same random numbers give the same damage.</summary>
internal static class InputMutator
{
    private static readonly string[] Numbers =
    [
        "0", "-1", "1", "2147483647", "2147483648", "-2147483648", "4294967295", "4294967296", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
        "18446744073709551615", "18446744073709551616", "99999999999999999999999999", "0x7fffffffffffffff", "0xffffffffffffffff", "1e308", "NaN", "1099511627776", "65536", "255", "256", "63", "64", "31", "32", "",
    ];

    private static readonly string[] Insertions = ["\0", "\r\n", "\n\n", "\uFEFF", "{", "}", "[", "]", "\"", "\\u0000", ",", ":", "=", "%", "(", ")", "-", "#", "\t", "$(", "`", "'", "*", "null", "true", "{}", "[]", "é", "\u2028"];

    /// <summary>A damaged copy.</summary>
    /// <param name="random">Where the damage comes from.</param>
    /// <param name="whole">The sound file.</param>
    /// <param name="other">A file to mix it with.</param>
    public static byte[] Damage(Random random, byte[] whole, byte[] other)
    {
        List<byte> bytes = [.. whole];
        for (int changes = 1 + random.Next(4); changes > 0; changes--)
        {
            Change(random, bytes, whole, other);
        }

        return [.. bytes];
    }

    /// <summary>A file packed with gzip, whose packed bytes are damaged or cut off.</summary>
    public static byte[] DamagePacked(Random random, byte[] content)
    {
        using MemoryStream packed = new();
        using (GZipStream gzip = new(packed, CompressionLevel.Fastest, leaveOpen: true))
        {
            gzip.Write(content);
        }

        byte[] bytes = packed.ToArray();
        bytes[random.Next(2, bytes.Length)] ^= (byte)(1 << random.Next(8));
        return random.Next(2) == 0 ? bytes : bytes[..random.Next(2, bytes.Length)];
    }

    private static void Change(Random random, List<byte> bytes, byte[] whole, byte[] other)
    {
        if (bytes.Count == 0)
        {
            bytes.AddRange(Encoding.UTF8.GetBytes(Insertions[random.Next(Insertions.Length)]));
            return;
        }

        int at = random.Next(bytes.Count);
        switch (random.Next(16))
        {
            case 0:
                bytes[at] = (byte)random.Next(256);
                break;
            case 1:
                bytes[at] = whole[random.Next(whole.Length)];
                break;
            case 2 or 3 or 4:
                (int start, int length) = Word(bytes, at, digits: true);
                Replace(bytes, start, length, Encoding.UTF8.GetBytes(random.Next(3) == 0 ? random.NextInt64().ToString() : Numbers[random.Next(Numbers.Length)]));
                break;
            case 5:
                (start, length) = Word(bytes, at, digits: false);
                (int from, int count) = Word(bytes, random.Next(bytes.Count), digits: false);
                Replace(bytes, start, length, bytes.GetRange(from, count));
                break;
            case 6:
                (start, length) = Word(bytes, at, digits: false);
                bytes.RemoveRange(start, length);
                break;
            case 7:
                bytes.RemoveRange(at, Math.Min(bytes.Count - at, 1 + random.Next(200)));
                break;
            case 8:
                (start, length) = Line(bytes, at);
                bytes.RemoveRange(start, length);
                break;
            case 9:
                (start, length) = Line(bytes, at);
                bytes.InsertRange(Line(bytes, random.Next(bytes.Count)).Start, bytes.GetRange(start, length));
                break;
            case 10:
                (start, length) = Line(bytes, at);
                List<byte> line = bytes.GetRange(start, length);
                bytes.RemoveRange(start, length);
                bytes.InsertRange(bytes.Count == 0 ? 0 : Line(bytes, random.Next(bytes.Count)).Start, line);
                break;
            case 11:
                bytes.RemoveRange(at, bytes.Count - at);
                break;
            case 12:
                bytes.InsertRange(at, Encoding.UTF8.GetBytes(Insertions[random.Next(Insertions.Length)]));
                break;
            case 13:
                bytes.InsertRange(at, Enumerable.Repeat(bytes[at], 1 << random.Next(2, 15)));
                break;
            case 14 when other.Length != 0:
                (start, length) = Line([.. other], random.Next(other.Length));
                bytes.InsertRange(Line(bytes, at).Start, new ArraySegment<byte>(other, start, length));
                break;
            default:
                (start, length) = Word(bytes, at, digits: true);
                for (int i = start; i < start + length; i++)
                {
                    bytes[i] = (byte)('0' + random.Next(10));
                }

                break;
        }
    }

    private static void Replace(List<byte> bytes, int start, int length, IEnumerable<byte> by)
    {
        List<byte> copy = [.. by];
        bytes.RemoveRange(start, length);
        bytes.InsertRange(start, copy);
    }

    /// <summary>The word or number at a place or after it; the byte there, where none comes.</summary>
    private static (int Start, int Length) Word(List<byte> bytes, int at, bool digits)
    {
        bool Belongs(byte b) => digits ? char.IsAsciiDigit((char)b) : char.IsAsciiLetterOrDigit((char)b) || b is (byte)'_' or (byte)'-' or (byte)'.';
        int start = at;
        while (start < bytes.Count - 1 && !Belongs(bytes[start]))
        {
            start++;
        }

        while (start > 0 && Belongs(bytes[start]) && Belongs(bytes[start - 1]))
        {
            start--;
        }

        int end = start + 1;
        while (end < bytes.Count && Belongs(bytes[end]))
        {
            end++;
        }

        return (start, end - start);
    }

    private static (int Start, int Length) Line(List<byte> bytes, int at)
    {
        int start = at == 0 ? 0 : bytes.LastIndexOf((byte)'\n', at - 1) + 1;
        int end = bytes.IndexOf((byte)'\n', at);
        return (start, (end < 0 ? bytes.Count : end + 1) - start);
    }
}
