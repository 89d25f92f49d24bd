using System.Buffers.Binary;
using System.Reflection;
using System.Text;
using System.Text.Json;
using MemSim.BlockDevices;
using MemSim.Hardware;
using MemSim.Kernels;
using MemSim.Observability;

namespace MemSim.Snapshots;

/// <summary>Snapshots in files: a line of JSON for people, which has the page allocator's state, and behind it the machine in sections.</summary>
/// <remarks>A section is a tag of four letters, the length and the CRC-32C of what follows, both little-endian on every host. Numbers are little-endian too; types are named with their fields.</remarks>
internal static class SnapshotFile
{
    private const int MostInSection = 1 << 20;
    private const int LongestHead = 1 << 30;
    private const int RamPiece = 1 << 16;

    private const byte TextConstant = 0;
    private const byte SharedConstant = 1;
    private const byte MethodConstant = 2;
    private const byte UsersConstant = 3;
    private const byte DiskConstant = 4;

    /// <summary>Writes a snapshot.</summary>
    /// <exception cref="InvalidOperationException">The machine's kernel is the user's own, which no file can name.</exception>
    public static void Write(Stream to, SnapshotDocument head, StateImage image)
    {
        if (!BuildOptions.AreSame(BuildOptions.Named(head.Personality), image.Shared.Kernel))
        {
            throw new InvalidOperationException($"the machine's kernel has rules of its own: a file names the kernel, and '{head.Personality}' is another one");
        }

        byte[] line = JsonSerializer.SerializeToUtf8Bytes(head, SnapshotJson.Default.SnapshotDocument);
        to.Write(line);
        to.WriteByte((byte)'\n');
        Sections sections = new(to);
        StateBytes bytes = new();
        bytes.Number(Checksum(line));
        sections.Write("HEAD", bytes.Written);

        bytes = new StateBytes();
        bytes.Number(image.Shapes.Count);
        foreach (Shape shape in image.Shapes)
        {
            bytes.Text(TypeNames.Of(shape.Type));
            bytes.Text(TypeNames.Describe(shape));
        }

        sections.Write("TYPE", bytes.Written);
        bytes = new StateBytes();
        WriteConstants(image, bytes);
        sections.Write("CONS", bytes.Written);
        bytes = new StateBytes();
        WriteObjects(image, bytes);
        sections.Write("OBJS", bytes.Written);
        sections.Write("DATA", image.Contents.Span);
        sections.Write("TABL", image.Tables.Span);
        WriteRam(image.Ram?.Thaw(image.Host), sections);
        sections.Write("END ", []);
    }

    /// <summary>Reads what <see cref="Write"/> wrote, or a file of version 1, which is the line alone.</summary>
    /// <exception cref="FormatException">It is damaged; the message says where.</exception>
    public static (SnapshotDocument Head, StateImage? Image) Read(Stream from)
    {
        Sections sections = new(from);
        byte[] line = sections.Line(LongestHead);
        SnapshotDocument head = JsonSerializer.Deserialize(line, SnapshotJson.Default.SnapshotDocument) ?? throw new FormatException("the file holds null");
        if (head.Format != SnapshotDocument.FormatName || head.Version is not (1 or SnapshotDocument.CurrentVersion))
        {
            throw new FormatException($"format {head.Format} version {head.Version} is not {SnapshotDocument.FormatName} version 1 or {SnapshotDocument.CurrentVersion}");
        }

        return (head, head.Version == 1 ? null : SnapshotSupport.IsOn ? ReadImage(head, line, sections) : throw SnapshotSupport.Missing());
    }

    private static StateImage ReadImage(SnapshotDocument head, byte[] line, Sections sections)
    {
        uint checksum = (uint)new StateCursor(sections.Read("HEAD")).Number();
        if (checksum != Checksum(line))
        {
            throw new FormatException($"the first line is damaged: its checksum is {Checksum(line):x8}, not {checksum:x8}");
        }

        StateShapes types = new();
        List<Shape> shapes = ReadShapes(new StateCursor(sections.Read("TYPE")), types);
        SharedObjects shared = new(BuildOptions.Named(head.Personality), ArchitectureInfo.Of(head.State.Architecture));
        List<SnapshotAttachment> missing = [];
        List<object> constants = ReadConstants(new StateCursor(sections.Read("CONS")), shared, missing);
        List<(int Shape, int Length)> objects = [];
        List<(int Target, int Method)> delegates = [];
        List<int> handles = [];
        ReadObjects(new StateCursor(sections.Read("OBJS")), shapes.Count, constants, missing, objects, delegates, handles);
        byte[] contents = sections.Read("DATA");
        byte[] tables = sections.Read("TABL");
        return new StateImage
        {
            Types = types,
            Shapes = shapes,
            Objects = objects,
            Contents = contents,
            Constants = constants,
            Handles = handles,
            Missing = missing,
            Delegates = delegates,
            Tables = tables,
            Places = new Dictionary<int, string>(),
            Shared = shared,
            Host = HostMemoryChoice.OfThisHost,
            Ram = ReadRam(sections, HostTables.FramesOf(tables), head.HasContents),
        };
    }

    private static List<Shape> ReadShapes(StateCursor from, StateShapes types)
    {
        List<Shape> shapes = [];
        for (int left = from.Count(from.Left, "types"); left > 0; left--)
        {
            string name = from.Text();
            string said = from.Text();
            Type type = TypeNames.Find(name);
            Shape shape = types.Of(type);
            string here = TypeNames.Describe(shape);
            shapes.Add(said == here ? shape : throw new FormatException($"{name} was written as '{said}', but in this version of the library it is '{here}'"));
        }

        return shapes;
    }

    private static void WriteConstants(StateImage image, StateBytes to)
    {
        to.Number(image.Constants.Count);
        for (int i = 0; i < image.Constants.Count; i++)
        {
            switch (image.Constants[i])
            {
                case string text:
                    to.Byte(TextConstant);
                    to.Text(text);
                    break;
                case MethodInfo method:
                    to.Byte(MethodConstant);
                    to.Text(TypeNames.Of(method.DeclaringType!));
                    to.Text(method.ToString()!);
                    break;
                case BlockChunk chunk:
                    to.Byte(DiskConstant);
                    chunk.Bytes.CopyTo(to.Take(chunk.Bytes.Length));
                    break;
                case Delegate called:
                    to.Byte(UsersConstant);
                    to.Text(image.Places[i]);
                    to.Text(called.GetType().Name);
                    to.Text(called.Method.Name);
                    break;
                case object rules:
                    to.Byte(SharedConstant);
                    to.Text(image.Shared.NameOf(rules)!);
                    break;
            }
        }

        to.Number(image.Missing.Count);
        foreach (SnapshotAttachment missing in image.Missing)
        {
            to.Text(missing.Name);
            to.Text(missing.TypeName);
            to.Text(missing.Description);
            to.Text(missing.LibraryPart is null ? "" : TypeNames.Of(missing.LibraryPart));
        }
    }

    private static List<object> ReadConstants(StateCursor from, SharedObjects shared, List<SnapshotAttachment> missing)
    {
        List<object> constants = [];
        int count = from.Count(from.Left, "constants");
        for (int i = 0; i < count; i++)
        {
            constants.Add(from.Byte() switch
            {
                TextConstant => from.Text(),
                SharedConstant => shared.Find(from.Text()),
                MethodConstant => MethodOf(TypeNames.Find(from.Text()), from.Text()),
                UsersConstant => new SnapshotAttachment(from.Text(), from.Text(), from.Text()),
                DiskConstant => Frozen(from.Take(SparseBlockStore.ChunkBytes)),
                byte kind => throw new FormatException($"constant {i} is of an unknown kind, {kind}"),
            });
        }

        for (int left = from.Count(from.Left, "missing objects"); left > 0; left--)
        {
            SnapshotAttachment attachment = new(from.Text(), from.Text(), from.Text());
            string part = from.Text();
            missing.Add(part.Length == 0 ? attachment : attachment with { LibraryPart = TypeNames.Find(part) });
        }

        return constants;
    }

    private static BlockChunk Frozen(ReadOnlySpan<byte> bytes)
    {
        BlockChunk chunk = new(bytes.ToArray());
        chunk.Freeze();
        return chunk;
    }

    [System.Diagnostics.CodeAnalysis.UnconditionalSuppressMessage("Trimming", "IL2070", Justification = "Methods that are targets of delegates are kept with them.")]
    private static MethodInfo MethodOf(Type type, string name) =>
        type.Assembly == typeof(Machine).Assembly
        && Array.Find(type.GetMethods(BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly), m => m.ToString() == name) is { } method
            ? method
            : throw new FormatException($"this version of the library has no method {name} of {TypeNames.Of(type)}");

    private static void WriteObjects(StateImage image, StateBytes to)
    {
        to.Number(image.Objects.Count);
        foreach ((int shape, int length) in image.Objects)
        {
            to.Number(shape + 2);
            to.Number(length);
        }

        to.Number(image.Handles.Count);
        foreach (int handle in image.Handles)
        {
            to.Number(handle);
        }

        to.Number(image.Delegates.Count);
        foreach ((int target, int method) in image.Delegates)
        {
            to.Number(target);
            to.Number(method);
        }
    }

    private static void ReadObjects(StateCursor from, int shapes, List<object> constants, List<SnapshotAttachment> missing, List<(int Shape, int Length)> objects, List<(int Target, int Method)> delegates, List<int> handles)
    {
        int count = from.Count(from.Left, "objects");
        for (int i = 0; i < count; i++)
        {
            int shape = from.Count(shapes + 1, "types") - 2;
            int length = from.Count(Array.MaxLength, "items");
            if (shape < 0 && length >= (shape == StateImage.Constant ? constants.Count : missing.Count))
            {
                throw new FormatException($"object {i} is number {length} of fewer");
            }

            if (shape == StateImage.Constant && constants[length] is SnapshotAttachment users)
            {
                // In memory a static delegate of the user's is shared; a file has its name alone.
                missing.Add(users);
                (shape, length) = (StateImage.UserObject, missing.Count - 1);
            }

            objects.Add((shape, length));
        }

        int kept = from.Count(from.Left, "handles");
        for (int i = 0; i < kept; i++)
        {
            handles.Add(from.Count(count - 1, "objects"));
        }

        int called = from.Count(from.Left, "delegates");
        for (int i = 0; i < called; i++)
        {
            delegates.Add((from.Count(count - 1, "objects"), from.Count(constants.Count - 1, "constants")));
        }
    }

    private static void WriteRam(PhysicalMemory? ram, Sections sections)
    {
        byte[] piece = new byte[sizeof(long) + RamPiece];
        for (ulong address = 0; ram is not null && address < ram.Bytes; address += RamPiece)
        {
            int bytes = (int)Math.Min(RamPiece, ram.Bytes - address);
            if (ram.IsTouched((long)(address >> PageGeometry.PageShift)) && ram.ReadOnly(address, bytes).ContainsAnyExcept((byte)0))
            {
                BinaryPrimitives.WriteInt64LittleEndian(piece, (long)address);
                ram.ReadOnly(address, bytes).CopyTo(piece.AsSpan(sizeof(long)));
                sections.Write("RAM ", piece.AsSpan(0, sizeof(long) + bytes));
            }
        }
    }

    private static FrozenRam? ReadRam(Sections sections, int frames, bool hasContents)
    {
        PhysicalMemory? ram = hasContents ? new PhysicalMemory(frames, hasContents: true, HostMemoryChoice.OfThisHost) : null;
        while (sections.Next() == "RAM ")
        {
            ReadOnlySpan<byte> piece = sections.Read("RAM ");
            ulong address = piece.Length > sizeof(long) ? BinaryPrimitives.ReadUInt64LittleEndian(piece) : ulong.MaxValue;
            int bytes = piece.Length - sizeof(long);
            if (ram is null || bytes > RamPiece || address % PageGeometry.PageSize != 0 || address >= ram.Bytes || (ulong)bytes > ram.Bytes - address)
            {
                throw new FormatException($"contents of RAM at 0x{address:x} lie outside of the machine's memory");
            }

            piece[sizeof(long)..].CopyTo(ram.Range(address, bytes));
        }

        _ = sections.Read("END ");
        return ram is null ? null : FrozenRam.Own(ram);
    }

    private static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        uint sum = uint.MaxValue;
        for (; bytes.Length >= sizeof(ulong); bytes = bytes[sizeof(ulong)..])
        {
            sum = System.Numerics.BitOperations.Crc32C(sum, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
        }

        foreach (byte left in bytes)
        {
            sum = System.Numerics.BitOperations.Crc32C(sum, left);
        }

        return ~sum;
    }

    /// <summary>The sections of a file, one after another.</summary>
    private sealed class Sections(Stream stream)
    {
        private const int HeaderBytes = 12;
        private readonly byte[] _header = new byte[HeaderBytes];
        private bool _hasHeader;
        private long _at;

        public void Write(string tag, ReadOnlySpan<byte> payload)
        {
            // An empty section, and the end of one that fills its last piece, has a piece of its own.
            bool more = true;
            while (more)
            {
                ReadOnlySpan<byte> piece = payload[..Math.Min(payload.Length, MostInSection)];
                payload = payload[piece.Length..];
                more = piece.Length == MostInSection;
                _ = Encoding.ASCII.GetBytes(tag, _header);
                BinaryPrimitives.WriteInt32LittleEndian(_header.AsSpan(4), piece.Length);
                BinaryPrimitives.WriteUInt32LittleEndian(_header.AsSpan(8), Checksum(piece));
                stream.Write(_header);
                stream.Write(piece);
            }
        }

        /// <summary>The tag of the section that follows; empty at the end of the file.</summary>
        public string Next()
        {
            if (!_hasHeader)
            {
                int read = stream.ReadAtLeast(_header, HeaderBytes, throwOnEndOfStream: false);
                if (read == 0)
                {
                    return "";
                }

                _hasHeader = read == HeaderBytes ? true : throw new FormatException($"the file ends at byte {_at + read}, within the header of a section");
            }

            return Encoding.ASCII.GetString(_header, 0, 4);
        }

        /// <summary>The contents of the section that must follow.</summary>
        public byte[] Read(string tag)
        {
            using MemoryStream all = new();
            int length;
            do
            {
                string found = Next();
                if (found != tag)
                {
                    throw new FormatException(found.Length == 0 ? $"the file ends at byte {_at}, where section '{tag}' should begin" : $"section '{found}' at byte {_at}, where '{tag}' should be");
                }

                length = BinaryPrimitives.ReadInt32LittleEndian(_header.AsSpan(4));
                uint checksum = BinaryPrimitives.ReadUInt32LittleEndian(_header.AsSpan(8));
                if ((uint)length > MostInSection)
                {
                    throw new FormatException($"section '{tag}' at byte {_at} says that it has {length} bytes");
                }

                byte[] piece = new byte[length];
                int read = stream.ReadAtLeast(piece, length, throwOnEndOfStream: false);
                if (read != length)
                {
                    throw new FormatException($"the file ends at byte {_at + HeaderBytes + read}, within section '{tag}'");
                }

                if (Checksum(piece) != checksum)
                {
                    throw new FormatException($"section '{tag}' at byte {_at} is damaged: its checksum is {Checksum(piece):x8}, not {checksum:x8}");
                }

                all.Write(piece);
                _at += HeaderBytes + length;
                _hasHeader = false;
            }
            while (length == MostInSection);
            return all.ToArray();
        }

        /// <summary>The bytes up to the end of the line or of the file.</summary>
        public byte[] Line(int longest)
        {
            using MemoryStream line = new();
            for (int next = stream.ReadByte(); next >= 0 && next != '\n'; next = stream.ReadByte())
            {
                if (line.Length == longest)
                {
                    throw new FormatException($"the first line is longer than {longest} bytes");
                }

                line.WriteByte((byte)next);
            }

            _at = line.Length + 1;
            return line.ToArray();
        }
    }
}
