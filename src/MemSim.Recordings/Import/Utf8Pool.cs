using System.Buffers.Binary;
using System.Numerics;
using System.Text;

namespace MemSim.Recordings.Import;

/// <summary>Remembers what a piece of text was turned into, so that the same bytes give the same value without allocating.</summary>
internal sealed class Utf8Pool<T>(Func<string, T> convert)
{
    // More distinct names than any kernel has; beyond it values are made afresh each time.
    private const int MaxEntries = 1 << 16;

    // Almost every text was there a few lines ago: a small table in front of the dictionary answers with one comparison.
    private const int RecentCount = 256;

    private readonly (byte[]? Text, T Value)[] _recent = new (byte[]?, T)[RecentCount];
    private readonly Dictionary<byte[], T> _values = new(new BytesComparer());

    /// <summary>The value of a text.</summary>
    public T Get(ReadOnlySpan<byte> text)
    {
        ref (byte[]? Text, T Value) recent = ref _recent[RecentIndex(text)];
        if (recent.Text is { } known && text.SequenceEqual(known))
        {
            return recent.Value;
        }

        T value = Find(text);
        recent = (text.ToArray(), value);
        return value;
    }

    /// <summary>Texts differ in their ends and lengths more often than in between.</summary>
    private static int RecentIndex(ReadOnlySpan<byte> text)
    {
        ulong mixed = (ulong)text.Length;
        if (text.Length >= sizeof(ulong))
        {
            mixed += BinaryPrimitives.ReadUInt64LittleEndian(text) ^ BitOperations.RotateLeft(BinaryPrimitives.ReadUInt64LittleEndian(text[^sizeof(ulong)..]), 29);
        }
        else
        {
            foreach (byte b in text)
            {
                mixed = (mixed << 8) ^ b;
            }
        }

        return (int)(unchecked(mixed * 0x9E3779B97F4A7C15) >> 56);
    }

    private T Find(ReadOnlySpan<byte> text)
    {
        var lookup = _values.GetAlternateLookup<ReadOnlySpan<byte>>();
        if (lookup.TryGetValue(text, out T? value))
        {
            return value;
        }

        value = convert(Encoding.UTF8.GetString(text));
        if (_values.Count < MaxEntries)
        {
            _values.Add(text.ToArray(), value);
        }

        return value;
    }

    private sealed class BytesComparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
    {
        public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode(byte[] obj) => GetHashCode(obj.AsSpan());

        public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

        public int GetHashCode(ReadOnlySpan<byte> alternate)
        {
            // FNV-1a: names are short.
            uint hash = 2166136261;
            foreach (byte b in alternate)
            {
                hash = (hash ^ b) * 16777619;
            }

            return (int)hash;
        }

        public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();
    }
}
