using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace MemSim.Snapshots;

/// <summary>Bytes of a state, written one value after another.</summary>
internal sealed class StateBytes(int expected = 1 << 16)
{
    private byte[] _bytes = GC.AllocateUninitializedArray<byte>(expected);

    public int Length { get; private set; }

    public ReadOnlySpan<byte> Written => _bytes.AsSpan(0, Length);

    public Span<byte> Take(int count)
    {
        if (count > _bytes.Length - Length)
        {
            Array.Resize(ref _bytes, Math.Max(checked(Length + count), (int)Math.Min(2L * _bytes.Length, Array.MaxLength)));
        }

        Span<byte> taken = _bytes.AsSpan(Length, count);
        Length += count;
        return taken;
    }

    public void Byte(byte value) => Take(1)[0] = value;

    /// <summary>A number, seven bits a byte.</summary>
    public void Number(long value)
    {
        ulong left = (ulong)value;
        while (left >= 0x80)
        {
            Byte((byte)(left | 0x80));
            left >>= 7;
        }

        Byte((byte)left);
    }

    public void Text(string text)
    {
        int bytes = System.Text.Encoding.UTF8.GetByteCount(text);
        Number(bytes);
        _ = System.Text.Encoding.UTF8.GetBytes(text, Take(bytes));
    }

    /// <summary>What was written, without a copy: nothing is written any more.</summary>
    public ReadOnlyMemory<byte> Memory => _bytes.AsMemory(0, Length);
}

/// <summary>Reads what <see cref="StateBytes"/> wrote; what goes beyond the end is a <see cref="FormatException"/>.</summary>
internal sealed class StateCursor(ReadOnlyMemory<byte> bytes)
{
    private readonly ReadOnlyMemory<byte> _bytes = bytes;

    public int Position { get; private set; }

    public bool IsAtEnd => Position == _bytes.Length;

    public int Left => _bytes.Length - Position;

    public ReadOnlySpan<byte> Take(int count)
    {
        if ((uint)count > (uint)(_bytes.Length - Position))
        {
            throw new FormatException($"the state ends at byte {_bytes.Length}, in the middle of a value at byte {Position}");
        }

        ReadOnlySpan<byte> taken = _bytes.Span.Slice(Position, count);
        Position += count;
        return taken;
    }

    public byte Byte() => Take(1)[0];

    public long Number()
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            byte part = Byte();
            value |= (ulong)(part & 0x7f) << shift;
            if (part < 0x80)
            {
                return (long)value;
            }
        }

        throw new FormatException($"the number that ends at byte {Position} is too long");
    }

    /// <summary>A number that must lie between 0 and a limit.</summary>
    public int Count(long limit, string what)
    {
        long value = Number();
        return (ulong)value <= (ulong)limit ? (int)value : throw new FormatException($"{value} {what} at byte {Position}, at most {limit} can be");
    }

    public string Text() => System.Text.Encoding.UTF8.GetString(Take(Count(Left, "bytes of text")));

    public long Word() => BinaryPrimitives.ReadInt64LittleEndian(Take(sizeof(long)));
}

/// <summary>The bytes of values whose type is only known by its handle: boxed ones, and the items of arrays.</summary>
/// <remarks>In range by construction: the size is the type's own (<see cref="RuntimeHelpers.SizeOf"/>), and only types without references and pointers come here (<see cref="StateShapes"/>).</remarks>
internal static class RawValues
{
    public static Span<byte> OfBox(object box, int size) => MemoryMarshal.CreateSpan(ref Unsafe.As<Box>(box).First, size);

    public static Span<byte> OfItems(Array items, int size) => MemoryMarshal.CreateSpan(ref MemoryMarshal.GetArrayDataReference(items), checked(items.Length * size));

    private sealed class Box
    {
        public byte First;
    }
}
