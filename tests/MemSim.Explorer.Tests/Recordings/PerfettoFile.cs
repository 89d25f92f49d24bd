using Google.Protobuf;

namespace MemSim.Explorer.Tests.Recordings;

/// <summary>Reads a Perfetto trace by the numbers of its fields: TracePacket 1, TrackDescriptor 60, TrackEvent 11.</summary>
internal static class PerfettoFile
{
    /// <summary>Adds up each counter.</summary>
    /// <param name="bytes">The file.</param>
    /// <param name="tracks">The names of all tracks.</param>
    public static Dictionary<string, long> Sums(byte[] bytes, out IReadOnlyCollection<string> tracks)
    {
        Dictionary<ulong, string> names = [];
        Dictionary<string, long> sums = [];
        foreach (ByteString packet in Fields(bytes).Where(f => f.Number == 1).Select(f => f.Bytes!))
        {
            foreach (Field field in Fields(packet.ToByteArray()))
            {
                if (field.Number == 60)
                {
                    List<Field> track = Fields(field.Bytes!.ToByteArray());
                    names[track.First(f => f.Number == 1).Value] = track.First(f => f.Number == 2).Bytes!.ToStringUtf8();
                }
                else if (field.Number == 11)
                {
                    List<Field> counted = Fields(field.Bytes!.ToByteArray());
                    string track = names[counted.First(f => f.Number == 11).Value];
                    sums[track] = sums.GetValueOrDefault(track) + (long)(counted.FirstOrDefault(f => f.Number == 30)?.Value ?? 0);
                }
            }
        }

        tracks = names.Values;
        return sums;
    }

    private static List<Field> Fields(byte[] message)
    {
        List<Field> fields = [];
        CodedInputStream input = new(message);
        for (uint tag = input.ReadTag(); tag != 0; tag = input.ReadTag())
        {
            int number = WireFormat.GetTagFieldNumber(tag);
            fields.Add(WireFormat.GetTagWireType(tag) == WireFormat.WireType.Varint ? new Field(number, input.ReadUInt64(), null) : new Field(number, 0, input.ReadBytes()));
        }

        return fields;
    }

    private sealed record Field(int Number, ulong Value, ByteString? Bytes);
}
