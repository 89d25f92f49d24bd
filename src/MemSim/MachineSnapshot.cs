using System.Text.Json;
using MemSim.Captures;
using MemSim.Observability;
using MemSim.Snapshots;

namespace MemSim;

/// <summary>The complete state of a machine at one moment: boot it as often as you like and try what would have happened.</summary>
/// <remarks>
/// Holds all that a machine consists of: lists in their order, live blocks, slabs, contents of RAM, page tables and TLBs, processes, files and what is cached of them, swap, per-CPU memory,
/// cgroups, background work, the clock, counters and settings, also the context of each CPU: a machine booted from it goes on as the original would, frame for frame. In a file it is the same.
/// Who listened to the original's tracepoints, and where its log goes, is not part of it. Objects of the user's that the machine would call, <see cref="NotCarried"/> names.
/// </remarks>
public sealed class MachineSnapshot
{
    internal const string FileFormat = SnapshotDocument.FormatName;

    private readonly StateImage? _image;
    private SnapshotDocument? _document;

    private MachineSnapshot(SnapshotDocument? document, StateImage? image)
    {
        _document = document;
        _image = image;
    }

    /// <summary>The page allocator's state as plain data. What is changed there changes no machine that is booted from the snapshot of another one.</summary>
    public AllocatorState Allocator => Document.State;

    /// <summary>What the machine had that the snapshot does not hold, a line each; empty where it is complete.</summary>
    /// <remarks>
    /// Objects of the user's: shrinkers, owners of movable pages, delegates, disks in files of the host; see <see cref="Attachments"/>. In memory a static delegate that holds no state is carried.
    /// Of a snapshot that has the page allocator alone (<see cref="Of"/>, files of version 1) it also says what else the machine had; a machine booted from it has those in the state after boot.
    /// </remarks>
    public IReadOnlyList<string> NotCarried => _image is null ? Document.NotCarried : [.. _image.Missing.Select(missing => missing.ToString())];

    /// <summary>The objects of the user's that <see cref="Boot(Func{SnapshotAttachment, object})"/> asks for.</summary>
    public IReadOnlyList<SnapshotAttachment> Attachments => _image?.Missing ?? [];

    private SnapshotDocument Document
    {
        get
        {
            if (_document is null)
            {
                using Machine machine = BootToRead();
                _document = SnapshotBuilder.Capture(machine);
                _document.Version = SnapshotDocument.CurrentVersion;
            }

            return _document;
        }
    }

    /// <summary>Boots a machine that goes on from this moment; each call gives an independent one.</summary>
    /// <exception cref="FormatException">The snapshot came from a file that contradicts itself.</exception>
    /// <exception cref="InvalidOperationException">The machine had objects of the user's (<see cref="Attachments"/>): they have to be attached.</exception>
    public Machine Boot() => Boot(Refuse, out _);

    /// <summary>Boots a machine that goes on from this moment, and has it attached what the snapshot does not hold.</summary>
    /// <param name="attach">Gives for each of <see cref="Attachments"/> an object that does what the original's did; null for none, which is misuse where the kernel calls it.</param>
    /// <exception cref="FormatException">The snapshot came from a file that contradicts itself.</exception>
    /// <exception cref="ArgumentException">An object is not of the class that is needed.</exception>
    public Machine Boot(Func<SnapshotAttachment, object?> attach) => Boot(attach, out _);

    /// <summary>Boots a machine that goes on from this moment, and gives its copies of the objects that <see cref="Machine.Snapshot"/> was asked to keep.</summary>
    /// <param name="handles">The new machine's, in the same order.</param>
    /// <exception cref="FormatException">The snapshot came from a file that contradicts itself.</exception>
    /// <exception cref="InvalidOperationException">The machine had objects of the user's (<see cref="Attachments"/>): they have to be attached.</exception>
    public Machine Boot(out IReadOnlyList<object> handles) => Boot(Refuse, out handles);

    /// <summary>Boots a machine that goes on from this moment, with what is attached, and gives its copies of the objects that <see cref="Machine.Snapshot"/> was asked to keep.</summary>
    /// <param name="attach">Gives for each of <see cref="Attachments"/> an object that does what the original's did; null for none, which is misuse where the kernel calls it.</param>
    /// <param name="handles">The new machine's objects, in the same order.</param>
    /// <exception cref="FormatException">The snapshot came from a file that contradicts itself.</exception>
    /// <exception cref="ArgumentException">An object is not of the class that is needed.</exception>
    public Machine Boot(Func<SnapshotAttachment, object?> attach, out IReadOnlyList<object> handles)
    {
        ArgumentNullException.ThrowIfNull(attach);
        handles = [];
        if (!SnapshotSupport.IsOn || _image is null)
        {
            return BootDocument(Document);
        }

        object?[] attached = [.. _image.Missing.Select(attach)];
        try
        {
            return StateReader.Read(_image, attached, out handles);
        }
        catch (ArrayTypeMismatchException e) when (attached.Length != 0)
        {
            throw new ArgumentException("what is attached is not of the class that the original had there", nameof(attach), e);
        }
    }

    /// <summary>Writes the snapshot to a file, packed when the name ends in <c>.gz</c>: a line of JSON with the page allocator's state, and behind it the machine in sections with checksums.</summary>
    /// <param name="path">The file, which is replaced.</param>
    /// <exception cref="InvalidOperationException">The machine's kernel is the user's own, which no file can name.</exception>
    public void Save(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        using FileStream file = File.Create(path);
        if (path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase))
        {
            using System.IO.Compression.GZipStream packed = new(file, System.IO.Compression.CompressionLevel.Fastest);
            Write(packed);
            return;
        }

        Write(file);
    }

    /// <summary>The snapshot of a machine whose page allocator is in a given state; all else is as after boot.</summary>
    /// <param name="state">The state: taken from another snapshot, or recorded inside a real kernel.</param>
    /// <exception cref="FormatException">The state contradicts itself.</exception>
    public static MachineSnapshot Of(AllocatorState state)
    {
        ArgumentNullException.ThrowIfNull(state);
        using Machine machine = StateRestorer.Restore(state);
        StateRestorer.RefuseMiscounted(machine, state);
        return new MachineSnapshot(SnapshotBuilder.Capture(machine), null);
    }

    /// <summary>Reads a snapshot that <see cref="Save"/> wrote, packed or not, also one of version 1, which has the page allocator alone.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InputFileException">The file is missing, damaged, of another version, or contradicts itself; the message says where and why.</exception>
    /// <exception cref="NotSupportedException">It holds a whole machine, and the program was built without that (feature switch <c>MemSim.Snapshots</c>).</exception>
    public static MachineSnapshot Load(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        using Stream file = InputFile.Open(path);
        try
        {
            using BufferedStream buffered = new(file, 1 << 16);
            (SnapshotDocument document, StateImage? image) = SnapshotFile.Read(buffered);
            MachineSnapshot snapshot = new(document, image);
            snapshot.Check();
            return snapshot;
        }
        catch (JsonException e)
        {
            throw new InputFileException(path, (int)(e.LineNumber ?? 0) + 1, e.Message, e);
        }
        catch (NullReferenceException e)
        {
            // Elements of arrays may be null whatever their type says.
            throw new InputFileException(path, 0, "a list holds null where it needs a value", e);
        }
        catch (Exception e) when (e is FormatException or ArgumentException or KernelBugException or InvalidOperationException or IndexOutOfRangeException or OverflowException
            or InvalidCastException or ArrayTypeMismatchException or KeyNotFoundException or System.Reflection.TargetInvocationException)
        {
            throw new InputFileException(path, 0, e.Message, e);
        }
    }

    internal static MachineSnapshot Take(Machine machine, IReadOnlyList<object> handles) => SnapshotSupport.IsOn ? new(null, StateWriter.Write(machine, handles)) : throw SnapshotSupport.Missing();

    /// <summary>Boots a machine that is looked at only: what the user would have to attach is missing.</summary>
    internal Machine BootToRead() => !SnapshotSupport.IsOn || _image is null ? BootDocument(Document) : StateReader.Read(_image, new object?[_image.Missing.Count]);

    private static object? Refuse(SnapshotAttachment missing) => throw new InvalidOperationException($"the snapshot does not hold {missing}: boot it with a function that gives one");

    private void Write(Stream to)
    {
        if (!SnapshotSupport.IsOn || _image is null)
        {
            JsonSerializer.Serialize(to, Document, SnapshotJson.Default.SnapshotDocument);
        }
        else
        {
            SnapshotFile.Write(to, Document, _image);
        }
    }

    /// <summary>Boots a snapshot from a file once, so that one that contradicts itself is refused when it is read.</summary>
    private void Check()
    {
        using (Machine allocator = BootDocument(Document))
        {
            allocator.Verify();
        }

        if (_image is not null)
        {
            using Machine machine = BootToRead();
            machine.Verify();
        }
    }

    private static Machine BootDocument(SnapshotDocument document)
    {
        Machine machine = SnapshotBuilder.Build(document);
        if (document.NotCarried.Contains(SnapshotBuilder.SlabLayer))
        {
            SnapshotBuilder.ForgetSlabs(machine, document);
        }

        // Page tables and stacks of the boot are made anew, in reserved frames, whatever the original had there.
        machine.BuildSubsystems(new SubsystemOptions());
        return machine;
    }
}
