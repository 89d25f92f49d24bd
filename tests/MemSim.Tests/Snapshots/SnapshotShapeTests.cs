using System.Reflection;
using FluentAssertions;
using MemSim.Snapshots;
using Microsoft.Extensions.Logging;
using Xunit;

namespace MemSim.Tests.Snapshots;

/// <summary>Every type that a machine may consist of is one that snapshots can carry: found without a machine that has such objects.</summary>
public sealed class SnapshotShapeTests
{
    private static readonly Assembly Core = typeof(Machine).Assembly;

    [Fact]
    public void Every_field_of_a_machine_is_of_a_type_that_is_carried()
    {
        StateShapes shapes = new();
        Dictionary<Type, string> found = new() { [typeof(Machine)] = "Machine" };
        Queue<Type> left = new([typeof(Machine)]);
        List<string> foreign = [];

        void Meet(Type type, string where)
        {
            if (type.IsPointer || type.IsByRef || !found.TryAdd(type, where))
            {
                return;
            }

            left.Enqueue(type);
        }

        void MeetSlot(Slot slot, string where)
        {
            switch (slot.Kind)
            {
                case SlotKind.Reference:
                    Meet(slot.Type, where);
                    break;
                case SlotKind.Nullable:
                    MeetSlot(slot.Inner!, where);
                    break;
                case SlotKind.Struct:
                    foreach (FieldSlot field in slot.Fields)
                    {
                        MeetSlot(field.Slot, $"{slot.Type.Name}.{field.Field.Name}");
                    }

                    break;
            }
        }

        while (left.TryDequeue(out Type? type))
        {
            // Sinks stay with the original, rules of kernels are the same objects for all machines.
            if (typeof(ITraceSink).IsAssignableFrom(type) || type.Namespace == typeof(MemSim.Kernels.KernelPersonality).Namespace || typeof(Delegate).IsAssignableFrom(type) || type == typeof(string))
            {
                continue;
            }

            if (type.Assembly == Core && !type.IsGenericType)
            {
                foreach (Type derived in Core.GetTypes().Where(t => t != type && type.IsAssignableFrom(t) && !t.IsGenericTypeDefinition && !t.IsInterface))
                {
                    Meet(derived, $"{derived.Name} as {found[type]}");
                }
            }

            if (type.IsAbstract || type.IsInterface)
            {
                if (type.IsInterface && type.IsGenericType)
                {
                    foreach (Type argument in type.GetGenericArguments().Where(a => !a.IsValueType))
                    {
                        Meet(argument, found[type]);
                    }
                }

                continue;
            }

            Shape shape = shapes.Of(type);
            if (shape.Carry == Carry.Foreign)
            {
                foreign.Add($"{found[type]}: {TypeNames.Of(type)}");
                continue;
            }

            foreach (FieldSlot field in shape.Fields)
            {
                MeetSlot(field.Slot, $"{type.Name}.{field.Field.Name}");
            }

            foreach (Slot slot in (Slot[])[.. new[] { shape.Item, shape.Value }.OfType<Slot>()])
            {
                MeetSlot(slot, found[type]);
            }
        }

        found.Should().HaveCountGreaterThan(300);
        foreign.Should().BeEquivalentTo(["HostFileStore as BlockDevice._store: MemSim.BlockDevices.HostFileStore"], "a disk in a file of the host is the user's to attach");
    }

    [Fact]
    public void Whoever_reads_the_log_stays_with_the_original_even_if_factory_and_logger_are_one()
    {
        Both log = new();
        using Machine machine = Machine.Boot(MachineSpec.X86_64("96M").WithLogging(log));
        machine.Snapshot().NotCarried.Should().BeEmpty();
        using Machine copy = machine.Snapshot().Boot();
        int lines = log.Lines;
        _ = copy.Cpus[0].AllocPages(Gfp.Kernel, order: 12);
        log.Lines.Should().Be(lines);
        _ = machine.Cpus[0].AllocPages(Gfp.Kernel, order: 12);
        log.Lines.Should().BeGreaterThan(lines);
    }

    private sealed class Both : ILoggerFactory, ILogger
    {
        public int Lines { get; private set; }

        public ILogger CreateLogger(string categoryName) => this;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => Lines++;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public void AddProvider(ILoggerProvider provider)
        {
        }

        public void Dispose()
        {
        }
    }
}
