using System.Text;

namespace MemSim.Recordings.Import;

/// <summary>Remembers what a piece of text was turned into, so that the same bytes give the same value without allocating.</summary>
internal sealed class Utf8Pool<T>(Func<string, T> convert)
{
    // More distinct names than any kernel has; beyond it values are made afresh each time.
    private const int MaxEntries = 1 << 16;

    private readonly Dictionary<byte[], T> _values = new(new BytesComparer());

    /// <summary>The value of a text.</summary>
    public T Get(ReadOnlySpan<byte> text)
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
