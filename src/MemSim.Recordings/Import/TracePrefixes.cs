using System.Buffers.Binary;
using System.Numerics;

namespace MemSim.Recordings.Import;

/// <summary>Remembers what lines of a trace began with (<c>   busybox-99      [000]</c>): most are by a task that another line was by a little while ago, on the same CPU.</summary>
internal sealed class TracePrefixes
{
    private const int MinBytes = 2 * sizeof(ulong);
    private const int MaxBytes = 64;
    private const int CountBits = 6;

    private readonly (byte[]? Text, string Task, int Pid, int Cpu)[] _known = new (byte[]?, string, int, int)[1 << CountBits];

    /// <summary>The columns have a fixed width: one trace has few different lengths.</summary>
    private int _length;

    /// <summary>Finds the beginning of a line.</summary>
    /// <param name="line">The line.</param>
    /// <param name="length">How much of it the beginning is.</param>
    /// <param name="who">What it tells.</param>
    public bool TryFind(ReadOnlySpan<byte> line, out int length, out (string Task, int Pid, int Cpu) who)
    {
        length = _length;
        if (length != 0 && line.Length >= length)
        {
            ReadOnlySpan<byte> text = line[..length];
            ref readonly (byte[]? Text, string Task, int Pid, int Cpu) known = ref _known[PlaceOf(text)];
            if (known.Text is { } same && text.SequenceEqual(same))
            {
                who = (known.Task, known.Pid, known.Cpu);
                return true;
            }
        }

        who = default;
        return false;
    }

    /// <summary>Remembers a beginning, where it is of a length that is worth it.</summary>
    public void Add(ReadOnlySpan<byte> text, (string Task, int Pid, int Cpu) who)
    {
        if (text.Length is >= MinBytes and <= MaxBytes)
        {
            _length = text.Length;
            _known[PlaceOf(text)] = (text.ToArray(), who.Task, who.Pid, who.Cpu);
        }
    }

    /// <summary>Names are at its front, the pid and the CPU at its end.</summary>
    private static int PlaceOf(ReadOnlySpan<byte> text)
    {
        ulong end = BinaryPrimitives.ReadUInt64LittleEndian(text[^sizeof(ulong)..]);
        ulong beforeEnd = BinaryPrimitives.ReadUInt64LittleEndian(text[^MinBytes..]);
        return (int)(unchecked((end ^ BitOperations.RotateLeft(beforeEnd, 29)) * 0x9E3779B97F4A7C15) >> (64 - CountBits));
    }
}
